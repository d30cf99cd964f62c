"""Running the steps of tuning: examples in an endless order, checkpoints, and the progress bar."""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from torch import nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from densevl.core.errors import OutputError, UsageError, WeightsError
from densevl.core.files import atomic_write, read_json
from densevl.training.checkpoints import check_finite, latest_checkpoint, random_state, set_random_state, unwrapped
from densevl.training.runner import SafeRunner
from densevl.training.train import AutocastOptimWrapper
from densevl.training.tuning.methods import Settings
from densevl.training.tuning.model import TunedCLIP
from densevl.training.tuning.ranking import RankingModel

__all__ = ["check_same_run", "run_tuning", "several_processes"]

CHECKPOINTS = 10
"""Checkpoints of a run; the last two are kept."""


class Draws(InfiniteSampler):
    """The endless order of the examples, each with the number of its turn: what draws the changes of its image."""

    def _infinite_indices(self) -> Iterator[tuple[int, int]]:  # type: ignore[override]
        for turn, place in enumerate(super()._infinite_indices()):
            yield place, (turn * 1_000_003 + self.seed * 7_919) % 2**31


class Places(Dataset):
    """Examples by what the sampler says of them."""

    metainfo: Any = None  # which MMEngine would miss

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, drawn: tuple[int, int]) -> tuple[int, int]:
        return drawn


class TuningRunner(SafeRunner):
    """The runner, with a model that stays where it is."""

    def wrap_model(self, model_wrapper_cfg: Any, model: nn.Module) -> nn.Module:
        """Wrap the model where there are several processes."""
        if not self.distributed:
            return model
        device = next(model.parameters()).device
        wrapper = {
            "type": "MMDistributedDataParallel",
            "device_ids": None if device.type == "cpu" else [device.index],
            "broadcast_buffers": False,
            "find_unused_parameters": True,
        }
        return super().wrap_model(wrapper, model)


class Progress(Hook):
    """Tells the model how far it is, and shows it; refuses to write what is not finite."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def before_train(self, runner: Any) -> None:
        """Begin the bar where the run begins."""
        shown = {"desc": "tuning", "unit": "step", "delay": 2, "disable": None if is_main_process() else True}
        self.bar = tqdm(total=self.steps, initial=runner.iter, **shown)

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Tell the model which part of the steps is done."""
        unwrapped(runner).progress = runner.iter / self.steps

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Move the bar."""
        self.bar.update()

    def after_train(self, runner: Any) -> None:
        """End the bar."""
        self.bar.close()

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Refuse what is not finite, so that the last checkpoint stays a good one.

        Raises:
            WeightsError: where something is not.
        """
        check_finite(checkpoint["state_dict"], "what was tuned")


def run_tuning(
    model: TunedCLIP | RankingModel,
    steps: int,
    *,
    work_dir: str | Path | None = None,
    resume: bool = False,
    amp: bool = False,
    checkpoints: bool = True,
) -> None:
    """Tune a model that has turned to a task; with several processes, each runs a part of every batch.

    Where an example has its turn, and what is then changed in its image, depends on the seed alone: a run that was
    killed and is resumed ends with the same numbers, bit for bit, and several processes see what one would see. Their
    sums have another order, and losses over pairs of examples see those of one process.

    Args:
        model: what is tuned; its parameters change.
        steps: how many there are.
        work_dir: where checkpoints and logs go; None for nowhere.
        resume: go on from the last checkpoint of the folder, where there is one.
        amp: compute in bfloat16 where that is safe.
        checkpoints: whether any are written.

    Raises:
        UsageError: where tuning diverges, or the batch cannot be divided among the processes.
        OutputError: where the folder cannot be written.
        WeightsError: where a checkpoint cannot be read, or is of another run.
    """
    with tempfile.TemporaryDirectory() as nowhere, _same_chance():
        folder = Path(nowhere if work_dir is None else work_dir)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot work in {folder}: {error.strerror}; choose another --work-dir") from error
        runner = _runner(model, steps, folder, resume, amp, checkpoints and work_dir is not None)
        try:
            runner.train()
        except (UsageError, WeightsError) as error:
            kept = None if work_dir is None else latest_checkpoint(folder)
            raise type(error)(f"{error}{'' if kept is None else f'; the last good checkpoint is {kept}'}") from None


def check_same_run(folder: Path, about: Mapping[str, Any], resume: bool) -> None:
    """Note what a run is about in its work folder; refuse to go on from a run of something else.

    Args:
        folder: the work folder.
        about: JSON values.
        resume: whether an earlier run is gone on from.

    Raises:
        UsageError: where it was of something else.
        OutputError: where the folder cannot be written.
    """
    note = folder / "tuning.json"
    if resume and note.is_file():
        earlier, now = read_json(note), json.loads(json.dumps(about))
        others = sorted(name for name in {*earlier, *now} if earlier.get(name) != now.get(name))
        if others:
            raise UsageError(
                f"the run in {folder} had other {', '.join(others)}; give the same again, or leave --resume out"
            )
    elif is_main_process():
        with atomic_write(note) as temporary:
            temporary.write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _runner(
    model: TunedCLIP | RankingModel, steps: int, folder: Path, resume: bool, amp: bool, checkpoints: bool
) -> SafeRunner:
    processes, settings = get_world_size(), model.settings
    count = model.examples
    batch = settings.batch if count >= settings.batch else count - count % processes
    if batch % processes or not batch:
        raise UsageError(f"a batch of {batch} cannot be divided among {processes} processes; choose another --batch")
    places = Places(count)
    loader = DataLoader(
        places, batch // processes, sampler=Draws(places, seed=model.seed), collate_fn=_drawn, num_workers=0
    )
    wrapper = AutocastOptimWrapper if amp else OptimWrapper
    keeping = {
        "type": "CheckpointHook",
        "interval": max(1, steps // CHECKPOINTS),
        "max_keep_ckpts": 2,
        "save_last": True,
    }
    return TuningRunner(
        model=model,
        work_dir=str(folder),
        train_dataloader=loader,
        train_cfg={"by_epoch": False, "max_iters": steps},
        optim_wrapper=wrapper(optimizer=model.optimizer()),
        param_scheduler=_schedule(settings, steps, count) or None,
        default_hooks={
            "checkpoint": keeping if checkpoints else None,
            "logger": {"type": "LoggerHook", "interval": 10},
        },
        custom_hooks=[Progress(steps)],
        log_level="WARNING",
        launcher="pytorch" if processes > 1 else "none",
        experiment_name="tuning",
        default_scope=None,  # that of MMEngine would stay behind, and hide what mmsegmentation registers
        randomness={"seed": model.seed},
        resume=resume,
    )


def _drawn(batch: list[tuple[int, int]]) -> dict[str, list[tuple[int, int]]]:
    return {"drawn": batch}


def _schedule(settings: Settings, steps: int, examples: int) -> list[dict[str, Any]]:
    """The schedule as MMEngine builds it.

    Raises:
        UsageError: where its type is unknown.
    """
    said = dict(settings.schedule or {"type": "constant"})
    kind, lr = said.pop("type", "constant"), float(settings.optimizer["lr"])
    epochs, warm_steps, warm_lr = (said.pop(f"warmup_{name}", None) for name in ("epochs", "steps", "lr"))
    if kind not in ("constant", "cosine") or said:
        raise UsageError(
            f"schedule of tuning is cosine or constant, with warmup_epochs or warmup_steps and warmup_lr; got "
            f"{settings.schedule}"
        )
    warm = int(warm_steps or 0) if epochs is None else round(epochs * examples / settings.batch)
    warm = min(warm, steps - 1)
    found: list[dict[str, Any]] = []
    if warm > 0 and warm_lr is None:
        found.append({"type": "LinearLR", "start_factor": 1 / warm, "begin": 0, "end": warm})
    elif warm > 0:
        found.append({"type": "ConstantLR", "factor": float(warm_lr) / lr, "begin": 0, "end": warm})
    if kind == "cosine":
        found.append({"type": "CosineAnnealingLR", "T_max": steps - warm, "eta_min": 0.0, "begin": warm, "end": steps})
    return [{**one, "by_epoch": False} for one in found]


@contextmanager
def _same_chance() -> Iterator[None]:
    """Leave the random generators of the program as they were."""
    before = random_state()
    try:
        yield
    finally:
        set_random_state(before)


@contextmanager
def several_processes() -> Iterator[tuple[int, str | None]]:
    """Join the processes that ``torchrun`` started, where it did.

    Yields:
        The rank of this process, 0 where it is the only one, and the device that is its own; None for any.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or "RANK" not in os.environ:
        yield 0, None
        return
    accelerated = torch.cuda.is_available()
    device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if accelerated else None
    if accelerated:
        torch.cuda.set_device(device)
    torch.distributed.init_process_group("nccl" if accelerated else "gloo")
    try:
        yield int(os.environ["RANK"]), device
    finally:
        torch.distributed.destroy_process_group()
