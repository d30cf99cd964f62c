"""A second device that every machine has: its tensors compute on the CPU, and refuse to meet tensors of the CPU.

torch's fake tensors cannot stand in for a GPU in a training step: without a GPU their ``backward`` fails, and they have
no values for an index by a mask or for ``item()``. These tensors have values, so what is computed on the pretended
device must also equal what is computed on the CPU. The device is called "meta", the one name besides "cpu" that
``backward`` and the factories of torch accept without hardware.

As on a GPU, a tensor of the CPU may still take part as a single number or as an index, but nothing of the device is an
index of a tensor of the CPU. Inference mode only turns gradients off there.

What a GPU would have to be waited for can be listed (``waits``): values that Python asks for, operators whose result
has a size that depends on values, and copies between the CPU and the device but those that say ``non_blocking``.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

__all__ = ["DEVICE", "pretended_device", "waits"]

DEVICE = torch.device("meta")
COPIES = {"copy_", "_to_copy"}
"""Operators that take tensors of two devices; the result lies on that of the first."""

INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"}
"""Operators whose second argument, the indices, may lie on the CPU whatever the device of the others."""


ASKING = {
    "_local_scalar_dense",
    "_unique2",
    "bincount",
    "equal",
    "is_nonzero",
    "masked_select",
    "nonzero",
    "repeat_interleave",
    "unique_consecutive",
    "unique_dim",
}
"""Operators that ask for values: what they give, or its size, depends on them."""

_noted: list[list[str]] = []
"""Lists that waiting is noted in, the last one first."""


class Away(Tensor):
    """A tensor of the pretended device; ``held`` has its values."""

    held: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, held: Tensor) -> "Away":
        made = Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=DEVICE,
        )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


class Operators(TorchDispatchMode):
    """Sends what is made on, or moved to, the pretended device there."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


class Lists(TorchFunctionMode):
    """Does the same between tensors and numbers of Python, which are no operators."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is Tensor.tolist and isinstance(args[0], Away):
            note("tolist")  # of the values, so that no operator sees it
            return args[0].held.tolist()
        if func is Tensor.__getitem__ and isinstance(args[0], Away):
            places = args[1] if isinstance(args[1], tuple) else (args[1],)
            args = args[0], tuple(torch.tensor(one) if isinstance(one, list) else one for one in places)
        if func is Tensor.new_tensor and isinstance(args[0], Away):
            func, args, kwargs = torch.tensor, args[1:], {"dtype": args[0].dtype, "device": DEVICE, **kwargs}
        if func in (torch.tensor, torch.as_tensor) and torch.device(kwargs.get("device") or "cpu") == DEVICE:
            return func(*args, **{**kwargs, "device": "cpu"}).to(DEVICE)
        return func(*args, **kwargs)


def run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Compute on the values, and put the result where it belongs."""
    name, device = func.overloadpacket.__name__, kwargs.get("device")
    away = any(isinstance(value, Away) for value in tree_leaves((args, kwargs)))
    must_agree = args[:1] + args[2:] if name in INDEXING and isinstance(args[0], Away) else (args, kwargs)
    strangers = [value for value in tree_leaves(must_agree) if _on_cpu(value)]
    assert not any(one.is_meta for one in strangers), f"{func}: a tensor without values"
    if away and strangers and name not in COPIES:
        raise RuntimeError(f"{func}: tensors of two devices; of the CPU are {[tuple(one.shape) for one in strangers]}")
    note(_waits(name, args, kwargs) if away or device is not None else "")
    if device is not None:
        away, kwargs = torch.device(device) == DEVICE, {**kwargs, "device": torch.device("cpu")}
    elif name == "copy_":
        away = isinstance(args[0], Away)
    args, kwargs = tree_map(lambda value: value.held if isinstance(value, Away) else value, (args, kwargs))
    found = func(*args, **kwargs)
    return tree_map(lambda value: Away(value) if away and isinstance(value, Tensor) else value, found)


def _on_cpu(value: Any) -> bool:
    """Whether it is a tensor that must not meet the device: not there, and more than a number."""
    return isinstance(value, Tensor) and not isinstance(value, Away) and value.ndim > 0


def _waits(name: str, args: Any, kwargs: dict[str, Any]) -> str:
    """Why a GPU would be waited for until an operator is done; nothing where Python goes on."""
    if name in ASKING:
        return name
    if name in INDEXING:
        places = [one for one in args[1] if one is not None]
        if any(not isinstance(one, Away) for one in places):
            return f"{name} by places of the CPU"
        filled = name != "index" and args[2].numel() == 1  # a mask is filled without a question
        return f"{name} by a mask" if not filled and any(one.dtype == torch.bool for one in places) else ""
    if name not in COPIES:
        return ""
    source = args[1] if name == "copy_" else args[0]
    target = args[0] if name == "copy_" else kwargs.get("device") or source.device
    leaves, enters = isinstance(source, Away), isinstance(target, Away) or _is_away(target)
    if leaves == enters or (enters and (kwargs.get("non_blocking") or args[2:3] == (True,))):
        return ""
    return f"copy of {tuple(source.shape)} to the {'device' if enters else 'CPU'}"


def _is_away(target: Any) -> bool:
    return not isinstance(target, Tensor) and torch.device(target) == DEVICE


def note(why: str) -> None:
    """Note that the device was waited for, where somebody listens."""
    if why and _noted:
        _noted[-1].append(why)


@contextmanager
def waits() -> Iterator[list[str]]:
    """Inside of :func:`pretended_device`, why a GPU would have been waited for, one entry each time."""
    found: list[str] = []
    _noted.append(found)
    try:
        yield found
    finally:
        _noted.pop()


@contextmanager
def pretended_device() -> Iterator[torch.device]:
    """Inside, tensors can be moved to the device that is given; mixed precision does nothing there."""
    autocast: Callable[..., Any] = torch.autocast

    def chosen(kind: str, *args: Any, **kwargs: Any) -> Any:
        return nullcontext() if kind == DEVICE.type else autocast(kind, *args, **kwargs)

    def without_gradients(_: bool) -> torch.no_grad:
        return torch.no_grad()

    inference = mock.patch.object(torch._C, "_InferenceMode", without_gradients)
    with Lists(), Operators(), inference, mock.patch.object(torch, "autocast", chosen):
        yield DEVICE
