"""Maps of regions: a number at each pixel, below 0 for none, the same for a region in all windows of an image."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Int, Shaped
from torch import Tensor

from densevl.core.geometry import Extent, Size

__all__ = ["on_cells", "stitch", "within"]

NONE = -1
"""Of a pixel without a region."""


def within(regions: Int[Tensor, "b H W"], extent: Extent) -> Int[Tensor, "b h w"]:
    """Maps of what an encoder sees of images, beyond which there are no regions.

    Args:
        regions: of the images as they were given.
        extent: left, top, right, bottom of what it sees in whole pixels; it may reach beyond the image, or end before.
    """
    left, top, right, bottom = (int(side) for side in extent)
    height, width = regions.shape[1:]
    return F.pad(regions, (-left, right - width, -top, bottom - height), value=NONE)


def on_cells(regions: Shaped[Tensor, "b H W"], cells: Size) -> Shaped[Tensor, "b h w"]:
    """Maps on another grid; a cell has the region of the pixel in its upper left corner.

    Args:
        regions: at the pixels.
        cells: of the grid (down, right).
    """
    rows, columns = (
        torch.arange(count, device=regions.device) * length // count
        for count, length in zip(cells, regions.shape[1:], strict=True)
    )
    return regions[:, rows[:, None], columns]


def stitch(regions: Int[Tensor, "n h w"], windows: Sequence[tuple[int, int, int, int]]) -> Int[Tensor, "H W"]:
    """The map of an image from those of its windows.

    Args:
        regions: of the windows, each on a grid that covers its window evenly.
        windows: (left, top, right, bottom) of each in the image.
    """
    height, width = max(box[3] for box in windows), max(box[2] for box in windows)
    whole = regions.new_full((height, width), NONE)
    for one, (x0, y0, x1, y1) in zip(regions, windows, strict=True):
        whole[y0:y1, x0:x1] = on_cells(one[None], (y1 - y0, x1 - x0))[0]
    return whole
