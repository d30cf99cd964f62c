"""Training from a config, as ``tools/train.py`` runs it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn

from densevl.core.config_files import load_config, start_distributed
from densevl.core.errors import DensevlError, OutputError, UsageError
from densevl.training.runner import SafeRunner

__all__ = ["AutocastOptimWrapper", "train"]


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """Optimizer wrapper whose forward pass runs in bfloat16 where that is safe; weights and updates stay float32.

    MMEngine's ``AmpOptimWrapper`` refuses to run without an accelerator. bfloat16 has the exponent of float32, so it
    needs no loss scaling, and recent processors multiply it several times faster than float32.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """The context of a forward pass, as MMEngine's models enter it in ``train_step``."""
        device = next(model.parameters()).device
        with super().optim_context(model), torch.autocast(device.type, dtype=torch.bfloat16):
            yield


def train(
    config: str | Path,
    work_dir: str | Path | None = None,
    resume: str | Path | bool = False,
    amp: bool = False,
    options: Mapping[str, Any] | None = None,
    launcher: str = "none",
) -> nn.Module:
    """Train what a config describes.

    Args:
        config: a config file, or the name of a shipped one.
        work_dir: where logs and checkpoints go; ``work_dirs/<config>`` unless the config says otherwise.
        resume: True continues from the last checkpoint in ``work_dir``, where there is one; a path from that file.
        amp: compute in bfloat16 where that is safe.
        options: dotted config keys and their new values.
        launcher: ``"pytorch"`` under ``torchrun``.

    Returns:
        The trained model.

    Raises:
        UsageError: where the config or an option cannot be used.
        WeightsError: where a checkpoint cannot be loaded.
        OutputError: where the work folder or a checkpoint cannot be written.
        ShardError: where training data are damaged.
    """
    cfg = load_config(config, options)
    if absent := {"model", "train_dataloader", "train_cfg", "optim_wrapper"} - cfg.keys():
        raise UsageError(f"config {config} lacks {', '.join(sorted(absent))}: it does not describe a training")
    if work_dir is not None:
        cfg.work_dir = str(work_dir)
    cfg.setdefault("work_dir", str(Path("work_dirs") / Path(config).stem))
    cfg.resume = bool(resume)
    if not isinstance(resume, bool):
        cfg.load_from = str(resume)
    if amp:
        cfg.optim_wrapper.type = AutocastOptimWrapper.__name__  # a name, since the config is written down as text
    start_distributed(cfg, launcher)
    try:
        Path(cfg.work_dir).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot work in {cfg.work_dir}: {error}; choose another --work-dir") from error
    try:
        return SafeRunner.from_cfg(cfg).train()
    except DensevlError as error:
        raise _without_traceback(error) from error.__cause__


def _without_traceback(error: DensevlError) -> DensevlError:
    """The error that a worker process had met in loading data: torch puts the traceback into the message."""
    beginning, _, rest = str(error).partition(" Original Traceback ")
    if "in DataLoader worker process" not in beginning:
        return error
    return type(error)(rest.rsplit(f"{type(error).__name__}: ", 1)[-1].strip())
