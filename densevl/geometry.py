"""Sizes and how they change.

Convention: a size is (height, width) in pixels. Resizing is bilinear with half-pixel centres (``align_corners=False``),
as in OpenCV and in ``torch.nn.functional.interpolate``.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from densevl.structures import Size

__all__ = ["bin_shares", "fitted_size", "padded_size", "resized_size"]


def resized_size(size: Size, short_side: int, long_side: int = 2048) -> Size:
    """Size after scaling to ``short_side``, keeping the ratio, with no side above ``long_side``.

    The rounding is that of MMCV's ``imrescale``, so that a picture has the same size here and in a benchmark pipeline.
    A side never falls below one pixel.
    """
    height, width = size
    scale = min(long_side / max(height, width), short_side / min(height, width))
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))


def fitted_size(size: Size, side: int) -> Size:
    """Size after scaling to the long side ``side``, keeping the ratio; no side falls below one pixel."""
    scale = side / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def padded_size(size: Size, multiple: int) -> Size:
    """The smallest size that holds ``size`` and is divisible by ``multiple``."""
    height, width = size
    return -(-height // multiple) * multiple, -(-width // multiple) * multiple


def bin_shares(length: int, edges: Float[Tensor, " e"]) -> Float[Tensor, "e-1 {length}"]:
    """How much of each pixel of a line lies in each bin, in [0, 1].

    Args:
        length: of the line, in pixels; pixel i reaches from i to i + 1.
        edges: where the bins begin and end, ascending, in pixels.
    """
    starts = torch.arange(length, dtype=edges.dtype, device=edges.device)
    return (torch.minimum(edges[1:, None], starts + 1) - torch.maximum(edges[:-1, None], starts)).clamp(min=0)
