"""A second device that every machine has: its tensors compute on the CPU, and refuse to meet tensors of the CPU.

torch's fake tensors cannot stand in for a GPU in a training step: without a GPU their ``backward`` fails, and they have
no values for an index by a mask or for ``item()``. These tensors have values, so what is computed on the pretended
device must also equal what is computed on the CPU. The device is called "meta", the one name besides "cpu" that
``backward`` and the factories of torch accept without hardware.

As on a GPU, a tensor of the CPU may still take part as a single number or as an index.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

__all__ = ["DEVICE", "pretended_device"]

DEVICE = torch.device("meta")
MIXED = {"copy_", "_to_copy", "index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"}
"""Operators that take tensors of two devices."""


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
    tensors = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, Tensor)]
    away = [value for value in tensors if isinstance(value, Away)]
    strangers = [value for value in tensors if not isinstance(value, Away) and value.ndim > 0]
    assert not any(one.is_meta for one in strangers), f"{func}: a tensor without values"
    if away and strangers and func.overloadpacket.__name__ not in MIXED:
        raise RuntimeError(f"{func}: tensors of two devices; of the CPU are {[tuple(one.shape) for one in strangers]}")
    kwargs, device = dict(kwargs), kwargs.get("device")
    if device is not None:
        kwargs["device"] = torch.device("cpu")
    args, kwargs = tree_map(lambda value: value.held if isinstance(value, Away) else value, (args, kwargs))
    found = func(*args, **kwargs)
    goes_away = bool(away) if device is None else torch.device(device) == DEVICE
    return tree_map(lambda value: Away(value) if goes_away and isinstance(value, Tensor) else value, found)


@contextmanager
def pretended_device() -> Iterator[torch.device]:
    """Inside, tensors can be moved to the device that is given; mixed precision does nothing there."""
    autocast: Callable[..., Any] = torch.autocast

    def chosen(kind: str, *args: Any, **kwargs: Any) -> Any:
        return nullcontext() if kind == DEVICE.type else autocast(kind, *args, **kwargs)

    with Lists(), Operators(), mock.patch.object(torch, "autocast", chosen):
        yield DEVICE
