"""How many windows go through an encoder together: few on a CPU, as many as fit on a GPU."""

from typing import Any

import torch

from densevl.core.geometry import Size

__all__ = ["MOST", "ON_CPU", "windows_at_once"]

ON_CPU = 4
"""More are no faster there: what one of them needs is what a processor's cache holds."""

MOST = 256
"""More are no faster on any GPU; they would only fill its memory."""

PER_TOKEN = 32
"""Vectors of the encoder's width that are alive at once for each token, at the most: queries, keys, values, the wide
layers of a block, and maps that are kept for refiners."""

PART = 0.5
"""Of the free memory that may be taken; results of windows before, and of whole images, need the rest."""


def windows_at_once(encoder: Any, window: Size, device: torch.device) -> int:
    """Windows that go through the encoder together.

    Args:
        encoder: with patches and a width.
        window: (height, width) in pixels.
        device: where; memory is known of CUDA's alone, and elsewhere the number is that of a CPU.
    """
    if device.type != "cuda":
        return ON_CPU
    free, _ = torch.cuda.mem_get_info(device)
    free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return fitting(free, encoder, window)


def fitting(free: int, encoder: Any, window: Size) -> int:
    """Windows that fit into some free memory, at least one.

    Args:
        free: bytes.
        encoder: with patches, a width and a dtype.
        window: (height, width) in pixels.
    """
    tokens = 1 + (-(-window[0] // encoder.patch_size)) * (-(-window[1] // encoder.patch_size))
    each = tokens * encoder.width * PER_TOKEN * encoder.dtype.itemsize
    return max(1, min(MOST, int(PART * free) // each))
