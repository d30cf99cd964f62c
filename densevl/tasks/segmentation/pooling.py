"""Values of patches as means over the cells of a grid of any size, whatever the windows that an image was encoded in.

A cell takes the part of each patch that lies in it, so that a mean is that of the area: where patches fill cells evenly
it is adaptive average pooling, and cells that are smaller than patches have the values of these. What several windows
show is their mean.

Convention: the cells cover the resized image evenly; patches lie where the encoder saw them, and what reaches beyond
their window counts for nothing.
"""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from densevl.core.geometry import Size
from densevl.tasks.segmentation.encoded import EncodedImage

__all__ = ["natural_grid", "overlaps", "pool_cells"]


def pool_cells(encoded: EncodedImage, values: Float[Tensor, "n c h w"], cells: Size) -> Float[Tensor, "c r s"]:
    """The mean of values of patches over each cell of an image.

    Args:
        encoded: the image.
        values: of the patches of each of its windows, such as ``encoded.features.grid``.
        cells: of the grid that is wanted (down, right).
    """
    size, boxes = encoded.plan.size, encoded.plan.boxes
    if len(values) == 1 and len(boxes) > 1:  # one map of all windows
        boxes = ((0, 0, size[1], size[0]),)
    rows = _parts(size[0], cells[0], {(box[1], box[3]) for box in boxes})
    columns = _parts(size[1], cells[1], {(box[0], box[2]) for box in boxes})
    total, weight = values.new_zeros(values.shape[1], *cells), values.new_zeros(cells)
    for box, window in zip(boxes, values, strict=True):
        height, width = window.shape[1:]
        patch = encoded.features.patch_size
        left, top, right, bottom = encoded.features.extent or (0, 0, width * patch, height * patch)
        ys = torch.linspace(top, bottom, height + 1, dtype=torch.float64).clamp(0, box[3] - box[1]) + box[1]
        xs = torch.linspace(left, right, width + 1, dtype=torch.float64).clamp(0, box[2] - box[0]) + box[0]
        down = (rows @ overlaps(_pixels(size[0]), ys)).to(values)
        across = (columns @ overlaps(_pixels(size[1]), xs)).to(values)
        total += down @ window @ across.mT
        weight += down.sum(1)[:, None] * across.sum(1)
    return total / weight.clamp(min=torch.finfo(weight.dtype).tiny)


def _parts(length: int, cells: int, spans: Iterable[tuple[int, int]]) -> Float[Tensor, "{cells} {length}"]:
    """What each pixel of a line gives to each cell: the length that they share, over the windows that show the pixel.

    Args:
        length: of the line, in pixels.
        cells: of the line.
        spans: where the windows begin and end.
    """
    shown = torch.zeros(length, dtype=torch.float64)
    for start, end in spans:
        shown[start:end] += 1
    edges = torch.linspace(0, length, cells + 1, dtype=torch.float64)
    return overlaps(edges, _pixels(length)) / shown.clamp(min=1)


def _pixels(length: int) -> Float[Tensor, " e"]:
    """Where the pixels of a line begin and end."""
    return torch.arange(length + 1, dtype=torch.float64)


def overlaps(cells: Float[Tensor, " a"], parts: Float[Tensor, " b"]) -> Float[Tensor, "a-1 b-1"]:
    """The length that each cell of a line shares with each part.

    Args:
        cells: where the cells begin and end, ascending.
        parts: where the parts begin and end, ascending.
    """
    shared = torch.minimum(cells[1:, None], parts[None, 1:]) - torch.maximum(cells[:-1, None], parts[None, :-1])
    return shared.clamp(min=0)


def natural_grid(encoded: EncodedImage) -> Size:
    """The cells (down, right) of an image that are about as large as its patches."""
    height, width = encoded.features.grid.shape[2:]
    patch = encoded.features.patch_size
    left, top, right, bottom = encoded.features.extent or (0, 0, width * patch, height * patch)
    down, across = (bottom - top) / height, (right - left) / width
    return max(1, round(encoded.plan.size[0] / down)), max(1, round(encoded.plan.size[1] / across))
