"""Reading files of weights without trusting them.

Safetensors files hold tensors alone. Files of ``torch.save`` are pickles: they are read by torch's restricted unpickler
(``weights_only=True``), which builds tensors and plain containers and refuses everything else. There is no fallback.
"""

import pickle
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from densevl.core.errors import WeightsError, first_line

__all__ = ["check_state_dict", "load_state_dict", "read_metadata"]

WRAPPERS = ("state_dict", "model_state_dict", "model", "module", "decoder")
"""Keys under which training programs keep the weights."""

BESIDE = "backbone_state_dict"
"""Key of the weights of a second model that belongs to the first, whose names get ``backbone.`` before them."""

HARMLESS = (
    'Arguments of a training program run nothing: `python -c "import argparse, torch; from safetensors.torch import '
    "save_file; torch.serialization.add_safe_globals([argparse.Namespace]); save_file({k: v.contiguous() for k, v in "
    "torch.load('FILE', weights_only=True)['state_dict'].items()}, 'NEW.safetensors')\"` leaves them out"
)
"""The cure for files that hold the arguments of their program, as those of SLIP and LaCLIP do."""


def load_state_dict(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a ``.safetensors`` or ``torch.save`` file by name, on the CPU, in the dtype of the file.

    A state dict inside a training checkpoint is found (``state_dict``, ``model_state_dict``, ``model``, ``module``,
    ``decoder``), and the ``module.`` that data-parallel training puts before every name is dropped. Where one holds a
    ``backbone_state_dict`` beside it, its tensors come with ``backbone.`` before their names.

    Raises:
        WeightsError: where the file is missing, truncated, no file of weights, holds objects that could run code, or
            holds a value that is not finite.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise WeightsError(f"weights file {path} does not exist")
    content = _read_safetensors(path) if _is_safetensors(path) else _read_torch(path)
    state = _state_dict(content, path)
    broken = [name for name, tensor in state.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if broken:
        raise WeightsError(f"{path} holds NaN or infinite values in {_few(broken)}: it is damaged; fetch it again")
    return state


def check_state_dict(
    state: Mapping[str, Tensor],
    model_state: Mapping[str, Tensor],
    path: str | Path,
    likeness: Callable[[], str] | None = None,
) -> None:
    """Compare names and shapes of a file with those of a model.

    Args:
        state: what the file holds.
        model_state: what the model needs.
        path: of the file, for the message.
        likeness: says what the file looks like instead, empty where that is not known; asked only where it differs.

    Raises:
        WeightsError: where names are missing or left over, or a shape differs.
    """
    missing = [name for name in model_state if name not in state]
    left = [name for name in state if name not in model_state]
    shapes = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in model_state.items()
        if name in state and state[name].shape != tensor.shape
    ]
    found = [("missing", missing), ("not in the model", left), ("of another shape", shapes)]
    faults = [f"{len(names)} {fault}: {_few(names)}" for fault, names in found if names]
    if faults:
        raise WeightsError(
            f"{path} was made for another model ({'; '.join(faults)}); "
            "give the weights of this architecture, or name the architecture that they belong to"
            + (f": {seen}" if (seen := likeness() if likeness else "") else "")
        )


def read_metadata(path: str | Path) -> dict[str, str]:
    """The metadata in the header of a ``.safetensors`` file; empty for other files of weights.

    Raises:
        WeightsError: as :func:`load_state_dict`.
    """
    path = Path(path).expanduser()
    if not _is_safetensors(path):
        return {}
    try:
        with safetensors.safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    except (safetensors.SafetensorError, ValueError, OSError) as error:
        raise WeightsError(f"{path} is truncated or damaged ({error}); fetch it again") from error


def _is_safetensors(path: Path) -> bool:
    """Tell the two formats by their first bytes, and refuse what is neither."""
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        raise WeightsError(f"{path} is empty; fetch it again")
    if head.startswith(b"version https://git-lfs"):
        raise WeightsError(f"{path} is a Git LFS pointer, not the file itself; run `git lfs pull`, or fetch the file")
    if head.lstrip().startswith(b"<"):
        raise WeightsError(f"{path} is a web page, not weights; fetch the file behind the page's download link")
    # The length of the header comes first and may begin with the very bytes of a pickle.
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= path.stat().st_size - 8:
        return True
    if head.startswith((b"PK\x03\x04", b"\x80")):
        return False
    if head[8:9] == b"{" or path.suffix == ".safetensors":
        return True
    raise WeightsError(f"{path} is neither a safetensors file nor one of torch.save")


def _read_safetensors(path: Path) -> Any:
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, ValueError, OSError) as error:
        raise WeightsError(f"{path} is truncated or damaged ({error}); fetch it again") from error


def _read_torch(path: Path) -> Any:
    _refuse_torchscript(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        wanted = re.search(r"GLOBAL (\S+)", str(error))
        what = f"asks for {wanted[1]}, which might run code" if wanted else "is damaged, or holds more than tensors"
        raise WeightsError(
            f"{path} {what}, so it was not loaded; give a safetensors file of these weights, or save its tensors alone"
            + (f". {HARMLESS}" if wanted and wanted[1] in ("argparse.Namespace",) else "")
        ) from error
    except (
        *(RuntimeError, ValueError, EOFError, OSError, LookupError, AttributeError, TypeError),
        safetensors.SafetensorError,  # torch.load reads a file of that suffix so, whatever it holds
    ) as error:
        raise WeightsError(f"{path} is truncated or damaged ({first_line(error)}); fetch it again") from error


def _refuse_torchscript(path: Path) -> None:
    with path.open("rb") as file:
        if file.read(4) != b"PK\x03\x04":
            return
    try:
        names = zipfile.ZipFile(path).namelist()
    except zipfile.BadZipFile as error:
        raise WeightsError(f"{path} is truncated or damaged ({error}); fetch it again") from error
    if any(name.endswith("/constants.pkl") for name in names):
        raise WeightsError(
            f"{path} is a TorchScript program, which would run code, so it was not loaded; OpenAI's CLIP comes as "
            "safetensors too: `densevl models` names them, or give `open_clip_model.safetensors` of timm's repository"
        )


def _state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    beside = content.get(BESIDE) if isinstance(content, Mapping) else None
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content:
        raise WeightsError(f"{path} holds {'nothing' if not content else 'a ' + type(content).__name__}, no state dict")
    if isinstance(beside, Mapping):
        content = {**_without_prefix(content), **{f"backbone.{name}": t for name, t in _without_prefix(beside).items()}}
    strange = [f"{name} ({type(value).__name__})" for name, value in content.items() if not isinstance(value, Tensor)]
    if strange:
        raise WeightsError(f"{path} holds values that are no tensors: {_few(strange)}; save the state dict alone")
    return {name: tensor.detach() for name, tensor in _without_prefix(content).items()}


def _without_prefix(content: Mapping[str, Any]) -> dict[str, Any]:
    """Names without what data-parallel training puts before each."""
    prefix = "module." if all(name.startswith("module.") for name in content) else ""
    return {name.removeprefix(prefix): value for name, value in content.items()}


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
