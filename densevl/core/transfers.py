"""Copies between the CPU and another device: those there that nobody waits for, and the one back that everybody does.

A GPU works through a queue while Python goes on filling it. Whatever asks it for a value (``item``, ``tolist``,
``nonzero``, a copy to the CPU) waits until the queue is empty, and then the GPU waits for Python. So a batch is put
there without waiting, and its results come back together.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

__all__ = ["download", "upload"]

WAITING = ("cpu", "mps")
"""Kinds of devices whose copies are done when they return: on the others the source may change right after."""

WORD = torch.int32
"""Values of different kinds come back as words of this one."""


def upload(tensor: Shaped[Tensor, "*s"], device: torch.device) -> Shaped[Tensor, "*s"]:
    """A tensor of the CPU on a device; a GPU takes it from pinned memory while both go on working.

    Args:
        tensor: it may be changed as soon as this returns.
        device: where it shall be; a tensor that lies there already is given back.
    """
    if tensor.device == device or device.type in WAITING:
        return tensor.to(device)
    source = tensor.pin_memory() if device.type == "cuda" and tensor.device.type == "cpu" else tensor
    return source.to(device, non_blocking=True)


def download(tensors: Sequence[Shaped[Tensor, "..."]]) -> list[Shaped[np.ndarray, "..."]]:
    """Arrays of tensors, whole numbers or float32, in one copy.

    Args:
        tensors: of one device; whole numbers lie within 32 bits, and come back in their own dtype.
    """
    if not tensors or tensors[0].device.type == "cpu":
        return [one.numpy() for one in tensors]
    words = [one.view(WORD) if one.dtype == torch.float32 else one.to(WORD) for one in tensors]
    together = torch.cat([one.flatten() for one in words]).cpu()
    parts = together.split([one.numel() for one in tensors])
    return [_as(part, one).numpy() for part, one in zip(parts, tensors, strict=True)]


def _as(words: Tensor, tensor: Tensor) -> Tensor:
    """Words as the values of a tensor."""
    values = words.view(torch.float32) if tensor.dtype == torch.float32 else words.to(tensor.dtype)
    return values.view(tensor.shape)
