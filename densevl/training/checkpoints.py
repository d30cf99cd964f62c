"""Training checkpoints that can be read without trusting them.

MMEngine pickles its log history as Python objects, among them a reference to ``getattr``: torch rightly refuses such
a file under ``weights_only=True``, and an allow-list with ``getattr`` on it would be none. So objects become simple
values before they are written, and the file holds tensors, numbers, strings, lists and dictionaries alone.
"""

import pickle
import random
from collections import OrderedDict, deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.fileio import get_file_backend
from mmengine.hooks import CheckpointHook
from mmengine.logging import HistoryBuffer
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from torch import Tensor

from densevl.core.errors import OutputError, WeightsError
from densevl.core.files import atomic_write

__all__ = [
    "AtomicCheckpointHook",
    "check_finite",
    "latest_checkpoint",
    "random_state",
    "read_checkpoint",
    "restore_history",
    "set_random_state",
    "unwrapped",
    "weights_under",
    "without_objects",
    "write_checkpoint",
]

POINTER = "last_checkpoint"
HISTORY = ("log", "count")


def without_objects(value: Any, where: str = "checkpoint") -> Any:
    """The same value made of tensors, numbers, strings, tuples, lists and dictionaries only.

    Raises:
        OutputError: where an object has no such form; the message says where it sits.
    """
    if value is None or type(value) in (bool, int, float, str, bytes, torch.dtype, torch.Size, Tensor):
        return value
    if isinstance(value, Tensor):
        return value.detach()
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, HistoryBuffer):
        return dict(zip(HISTORY, map(torch.as_tensor, value.data), strict=True))
    if isinstance(value, Path | str):
        return str(value)
    if isinstance(value, Mapping):
        items = {key: without_objects(item, f"{where}.{key}") for key, item in value.items()}
        return OrderedDict(items) if isinstance(value, OrderedDict) else items
    if isinstance(value, list | tuple | set | frozenset):
        listed = [without_objects(item, f"{where}[{i}]") for i, item in enumerate(value)]
        return tuple(listed) if isinstance(value, tuple) else listed
    raise OutputError(
        f"{where} is a {type(value).__qualname__}, which a checkpoint cannot hold; "
        "keep tensors, numbers, strings, lists and dictionaries in it"
    )


def write_checkpoint(path: str | Path, checkpoint: Mapping[str, Any]) -> None:
    """Write a checkpoint whole or not at all: the file that was there before stays until the new one is complete."""
    values = without_objects(checkpoint)
    with atomic_write(Path(path)) as temporary:
        torch.save(values, temporary)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU; nothing in the file is executed.

    Raises:
        WeightsError: where the file is missing, truncated, holds Python objects, or is no checkpoint.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise WeightsError(f"checkpoint {path} does not exist")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"checkpoint {path} is damaged or holds Python objects, which could run code, so it was not loaded; "
            "densevl reads files of tensors and simple values"
        ) from error
    except Exception as error:  # a damaged file can trip the reader in any way
        raise WeightsError(f"checkpoint {path} cannot be read, it may be truncated: {error!r}") from error
    if not isinstance(checkpoint, dict):
        raise WeightsError(f"checkpoint {path} holds a {type(checkpoint).__name__}; expected a dictionary")
    return checkpoint


def weights_under(checkpoint: Mapping[str, Any], prefix: str) -> dict[str, Tensor]:
    """The weights whose names begin with a prefix, by their names without it.

    Args:
        checkpoint: a training checkpoint, or the weights of a model.
        prefix: of the names, such as ``"clip."``.
    """
    state = checkpoint.get("state_dict", checkpoint)
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def check_finite(weights: Mapping[str, Tensor], source: str | Path) -> None:
    """Refuse weights that hold NaN or infinite values.

    Args:
        weights: by name.
        source: what holds them; the error message begins with it.

    Raises:
        WeightsError: where some are not finite; the message names them.
    """
    if broken := [name for name, value in weights.items() if not value.isfinite().all()]:
        raise WeightsError(f"{source} holds NaN or infinite values in {', '.join(broken)}: the training diverged")


def unwrapped(runner: Any) -> Any:
    """The model of a runner, without the wrapper that training on several processes puts around it."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


def restore_history(message_hub: Mapping[str, Any]) -> dict[str, Any]:
    """State of a message hub as MMEngine takes it, from the values of a checkpoint."""
    scalars = {
        name: HistoryBuffer(*(history[key].numpy() for key in HISTORY))
        for name, history in message_hub["log_scalars"].items()
    }
    return {**message_hub, "log_scalars": scalars}


def random_state() -> dict[str, Any]:
    """States of the random generators of this process: Python, NumPy, torch and its accelerators.

    Arrays stand for tensors, so that processes can send the states to each other as objects.
    """
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(legacy=True),  # noqa: NPY002 — the generator that data pipelines draw from
        "torch": torch.get_rng_state().numpy(),
        "cuda": [state.numpy() for state in cuda],
    }


def set_random_state(state: Mapping[str, Any]) -> None:
    """Put the generators back to what :func:`random_state` returned, as it is or from a checkpoint."""
    random.setstate(state["python"])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, np.asarray(keys), *rest))  # noqa: NPY002
    torch.set_rng_state(torch.as_tensor(state["torch"]))
    if len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([torch.as_tensor(one) for one in state["cuda"]])


def latest_checkpoint(folder: str | Path) -> Path | None:
    """The last complete checkpoint of a work folder, or None; the folder may have been moved."""
    pointer = Path(folder) / POINTER
    if not pointer.is_file():
        return None
    named = Path(pointer.read_text().strip())
    beside = pointer.with_name(named.name)
    return beside if beside.is_file() else named


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """MMEngine's checkpoint hook, safe against being killed at any moment.

    The order is: write the new checkpoint, point to it, only then remove outdated ones. MMEngine removes first, which
    with ``max_keep_ckpts=1`` leaves nothing while it writes.
    """

    out_dir: Any

    def before_train(self, runner: Any) -> None:
        """Find the folder, and what a resumed run has kept and found best."""
        self.out_dir = self.out_dir or runner.work_dir
        self.file_backend = get_file_backend(self.out_dir)
        known = runner.message_hub.runtime_info
        self.keep_ckpt_ids = deque(known.get("keep_ckpt_ids", []))
        if self.save_best is not None and len(self.key_indicators) == 1:
            self.best_ckpt_path = known.get("best_ckpt")
        elif self.save_best is not None:
            self.best_ckpt_path_dict = {key: known.get(f"best_ckpt_{key}") for key in self.key_indicators}

    def _save_checkpoint_with_step(self, runner: Any, step: int, meta: dict[str, Any]) -> None:
        outdated = self._keep(runner, step) if self.max_keep_ckpts > 0 else []
        path = Path(self.out_dir) / self.filename_tmpl.format(step)
        self.last_ckpt = str(path)
        runner.message_hub.update_info("last_ckpt", self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            path.name,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
        )
        if is_main_process():
            with atomic_write(Path(runner.work_dir) / POINTER) as temporary:
                temporary.write_text(self.last_ckpt)
            for old in outdated:
                (path.parent / self.filename_tmpl.format(old)).unlink(missing_ok=True)

    def _keep(self, runner: Any, step: int) -> list[int]:
        """Remember a step among those to keep; the steps that fall out."""
        steps = [kept for kept in self.keep_ckpt_ids if kept != step] + [step]
        outdated = steps[: -self.max_keep_ckpts]
        self.keep_ckpt_ids.clear()
        self.keep_ckpt_ids.extend(steps[-self.max_keep_ckpts :])
        runner.message_hub.update_info("keep_ckpt_ids", list(self.keep_ckpt_ids))
        return outdated
