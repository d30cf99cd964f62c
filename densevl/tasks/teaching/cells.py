"""Masks on the grids of windows: which part of each cell a mask covers, and which cells speak for it.

Convention: masks have the size of the image as given; cells have ``stride`` pixels of the resized image a side, and the
last ones of a window end with it.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from densevl.core.geometry import bin_coverage
from densevl.tasks.segmentation.windows import WindowPlan

__all__ = ["COVERED", "cells_of", "coverage"]

COVERED = 0.5
"""Least part of a cell that a mask covers where the cell is an example of its class."""


def coverage(masks: Bool[Tensor, "n H W"], plan: WindowPlan, stride: int) -> Float32[Tensor, "windows n h w"]:
    """The part of each cell of each window that each mask covers, in [0, 1].

    Args:
        masks: of an image as given.
        plan: the windows of the resized image.
        stride: side of a cell in pixels of the resized image.
    """
    grid = plan.grid(stride)
    rows, columns = (
        _line(starts, plan.window_size[axis], grid[axis], stride, masks.shape[1 + axis] / plan.size[axis], masks, axis)
        for axis, starts in enumerate((plan.ys, plan.xs))
    )
    found = torch.stack([rows @ mask.float() @ columns.mT for mask in masks])
    found = found.unflatten(2, (len(plan.xs), grid[1])).unflatten(1, (len(plan.ys), grid[0]))
    return found.permute(1, 3, 0, 2, 4).flatten(0, 1)


def cells_of(covered: Float32[Tensor, "windows h w"]) -> Bool[Tensor, "windows h w"]:
    """The cells that are examples of a mask: those that it covers by half, or, where it is too small for that, those
    that it covers most.

    Args:
        covered: by the mask, as :func:`coverage` gives it.
    """
    return covered >= covered.max().clamp(min=0.0, max=COVERED) if covered.any() else torch.zeros_like(covered) > 0


def _line(
    starts: Sequence[int], window: int, cells: int, stride: int, scale: float, masks: Tensor, axis: int
) -> Float32[Tensor, "cells length"]:
    """Along one axis, the share of each pixel of the image as given in the mean over each cell, window by window."""
    inside = (torch.arange(cells + 1, dtype=torch.float64) * stride).clamp(max=window)
    lines = [bin_coverage(masks.shape[1 + axis], (start + inside) * scale) for start in starts]
    return torch.cat([line / line.sum(1, keepdim=True) for line in lines]).float()
