"""Sizes and how they change.

Convention: a size is (height, width) in pixels. Resizing is bilinear with half-pixel centres (``align_corners=False``),
as in OpenCV and in ``torch.nn.functional.interpolate``.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64, Int64, Shaped
from torch import Tensor

__all__ = [
    "Box",
    "Extent",
    "Size",
    "bin_coverage",
    "box_ious",
    "first_cells",
    "fit_square",
    "fitted_size",
    "mask_coverage",
    "pad_to_multiple",
    "pairwise_ious",
    "resized_size",
    "suppress",
]

Size = tuple[int, int]
"""(height, width)."""

Box = tuple[int | float, int | float, int | float, int | float]
"""x0, y0, x1, y1, half-open."""

Extent = tuple[int | float, int | float, int | float, int | float]
"""Left, top, right, bottom of what a map covers, in pixels of an image, beyond which it may reach."""


def resized_size(size: Size, short_side: int, long_side: int = 2048) -> Size:
    """Size after scaling to ``short_side``, keeping the ratio, with no side above ``long_side``.

    The rounding is that of MMCV's ``imrescale``, so that an image has the same size here and in a benchmark pipeline.
    A side never falls below one pixel.
    """
    height, width = size
    scale = min(long_side / max(height, width), short_side / min(height, width))
    return max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))


def fitted_size(size: Size, side: int) -> Size:
    """Size after scaling to the long side ``side``, keeping the ratio; no side falls below one pixel."""
    scale = side / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def pad_to_multiple(images: Shaped[Tensor, "*b H W"], multiple: int) -> Shaped[Tensor, "*b h w"]:
    """Images padded with zeros at the right and the bottom to sides that are divisible by ``multiple``."""
    height, width = images.shape[-2:]
    return F.pad(images, (0, -width % multiple, 0, -height % multiple))


def first_cells(grid: Shaped[Tensor, "*b H W"], height: int, width: int) -> Shaped[Tensor, "*b {height} {width}"]:
    """The upper left part of maps; in a graph that is traced a copy, since a view would ask whether it is all."""
    if torch.compiler.is_compiling():
        rows, columns = (torch.arange(count, device=grid.device) for count in (height, width))
        return grid.index_select(-2, rows).index_select(-1, columns)
    return grid[..., :height, :width]


def bin_coverage(length: int, edges: Float[Tensor, " e"]) -> Float[Tensor, "e-1 {length}"]:
    """Fraction of each pixel of a line that lies in each bin, in [0, 1].

    Args:
        length: of the line, in pixels; pixel i reaches from i to i + 1.
        edges: where the bins begin and end, ascending, in pixels.
    """
    starts = torch.arange(length, dtype=edges.dtype, device=edges.device)
    return (torch.minimum(edges[1:, None], starts + 1) - torch.maximum(edges[:-1, None], starts)).clamp(min=0)


def fit_square(image: Float[Tensor, "3 H W"], side: int) -> Float[Tensor, "3 {side} {side}"]:
    """An image scaled to the long side ``side`` and padded with black at the right or the bottom."""
    height, width = image.shape[1:]
    size = fitted_size((height, width), side)
    if size != (height, width):
        image = F.interpolate(image[None], size, mode="bicubic", align_corners=False, antialias=True)[0].clamp(0, 1)
    return pad_to_multiple(image, side)


def mask_coverage(masks: Float[Tensor, "n H W"], side: int, patch: int, grid: Size) -> Float[Tensor, "n h w"]:
    """Area of each mask in each patch of the image padded to a square, in pixels of the mask.

    Args:
        masks: of an image as given, 1 inside.
        side: of the square.
        patch: side of a patch.
        grid: patches (down, right).
    """
    size = (masks.shape[1], masks.shape[2])
    scale = (_shrink(size, side).flip(0)).tolist()
    edges = [torch.arange(n + 1, dtype=masks.dtype, device=masks.device) * patch for n in grid]
    rows, columns = (bin_coverage(size[i], edges[i] * scale[i]).to(masks) for i in range(2))
    return rows @ masks @ columns.mT


def _shrink(size: Size, side: int) -> Float[Tensor, "2"]:
    """Pixels of the image as given in one pixel of the square, across and down."""
    height, width = fitted_size(size, side)
    return torch.tensor([size[1] / width, size[0] / height])


def box_ious(boxes: Any, target: Sequence[int | float]) -> Float64[np.ndarray, " n"]:
    """Intersection over union of boxes with one box, in double precision.

    Args:
        boxes: (n, 4) as xyxy, half-open; n may be 0.
        target: x0, y0, x1, y1.
    """
    one, other = (torch.as_tensor(np.asarray(part, np.float64).reshape(-1, 4)) for part in (boxes, target))
    return pairwise_ious(one, other)[:, 0].numpy()


def pairwise_ious(boxes: Float[Tensor, "n 4"], others: Float[Tensor, "m 4"]) -> Float[Tensor, "n m"]:
    """Intersection over union of boxes with others, as torchvision's ``box_iou``, without the import of torchvision.

    Args:
        boxes: absolute xyxy pixels.
        others: the same.
    """
    areas, areas_of_others = ((each[:, 2] - each[:, 0]) * (each[:, 3] - each[:, 1]) for each in (boxes, others))
    first = torch.maximum(boxes[:, None, :2], others[:, :2])
    last = torch.minimum(boxes[:, None, 2:], others[:, 2:])
    across, down = (last - first).clamp(min=0).unbind(-1)
    shared = across * down
    return shared / (areas[:, None] + areas_of_others - shared)


def suppress(boxes: Float[Tensor, "n 4"], scores: Float[Tensor, " n"], overlap: float) -> Int64[Tensor, " k"]:
    """Places of the boxes that are left, best first, where each drops the worse ones that it overlaps too much.

    It is torchvision's ``nms`` for up to some thousand boxes, without the import of torchvision.

    Args:
        boxes: absolute xyxy pixels.
        scores: of each; of equal ones the first is the better.
        overlap: intersection over union above which the worse box is dropped.
    """
    order = scores.argsort(descending=True, stable=True)
    over = (pairwise_ious(boxes[order], boxes[order]).double() > overlap).cpu().numpy()
    dropped, kept = np.zeros(len(over), bool), []
    for place, row in enumerate(over):
        if not dropped[place]:
            kept.append(place)
            dropped |= row
    return order[torch.tensor(kept, dtype=torch.int64, device=order.device)]
