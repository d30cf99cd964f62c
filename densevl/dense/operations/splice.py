"""Maps of overlapping windows put together as one map of the image that they were cut from.

A cell of the image takes the mean over the cells of all windows that lie on it, weighted by the area that they share;
where the cells of the windows are those of the image, this is the mean over the windows.

Convention: cells of a window cover it evenly, from ``extent`` on; boxes are pixels of the image, half-open.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.core.geometry import Extent, Size

__all__ = ["splice", "spliced_grid"]

Box = tuple[int, int, int, int]


def spliced_grid(grid: Size, windows: Sequence[Box], extent: Extent | None = None) -> Size:
    """Cells (down, right) of an image, as near to those of its windows as whole numbers allow.

    Args:
        grid: cells of each window.
        windows: (left, top, right, bottom) of each in the image.
        extent: what the cells of a window cover, in its pixels; None for the window itself.
    """
    left, top, right, bottom = _extent(windows, extent)
    height, width = max(box[3] for box in windows), max(box[2] for box in windows)
    sides = ((height, bottom - top, grid[0]), (width, right - left, grid[1]))
    rows, columns = (max(1, round(length * cells / covered)) for length, covered, cells in sides)
    return rows, columns


def splice(
    maps: Float[Tensor, "n c h w"],
    windows: Sequence[Box],
    grid: Size | None = None,
    extent: Extent | None = None,
) -> Float[Tensor, "1 c h2 w2"]:
    """One map of the image.

    Args:
        maps: of its windows, all of one size, which together cover it.
        windows: (left, top, right, bottom) of each in the image.
        grid: cells (down, right) of the image; None for :func:`spliced_grid`.
        extent: what the cells of a window cover, in its pixels; None for the window itself. What reaches out of the
            window does not count.

    Raises:
        UsageError: where maps and windows are not as many.
    """
    if len(maps) != len(windows):
        raise UsageError(f"as many windows as maps were expected, {len(maps)}; got {len(windows)}")
    cells = (maps.shape[2], maps.shape[3])
    rows, columns = spliced_grid(cells, windows, extent) if grid is None else grid
    left, top, right, bottom = _extent(windows, extent)
    height, width = max(box[3] for box in windows), max(box[2] for box in windows)
    total = maps.new_zeros(maps.shape[1], rows, columns, dtype=torch.float32)
    weight = maps.new_zeros(rows, columns, dtype=torch.float32)
    for one, (x0, y0, x1, y1) in zip(maps, windows, strict=True):
        down = _shares(rows, height, cells[0], (y0 + top, y0 + bottom), (y0, y1))
        across = _shares(columns, width, cells[1], (x0 + left, x0 + right), (x0, x1))
        (first, last), (begin, end) = _touched(down), _touched(across)
        some_rows, some_columns = down[first:last].to(total.device), across[begin:end].to(total.device)
        total[:, first:last, begin:end] += some_rows @ one.float() @ some_columns.mT
        weight[first:last, begin:end] += some_rows.sum(1)[:, None] * some_columns.sum(1)
    return (total / weight).to(maps.dtype)[None]


def _extent(windows: Sequence[Box], extent: Extent | None) -> Extent:
    x0, y0, x1, y1 = windows[0]
    return (0, 0, x1 - x0, y1 - y0) if extent is None else extent


def _shares(
    count: int, length: int, cells: int, covered: tuple[int | float, int | float], seen: tuple[int, int]
) -> Float[Tensor, "{count} {cells}"]:
    """Length that each of the image's cells shares with each cell of a window, along one axis, in image cells.

    Args:
        count: cells of the image, which cover its length.
        length: of the image.
        cells: of the window.
        covered: begin and end of the window's cells.
        seen: begin and end of the window.
    """
    scale = count / length
    edges = torch.linspace(covered[0] * scale, covered[1] * scale, cells + 1, dtype=torch.float64)
    edges = edges.clamp(seen[0] * scale, seen[1] * scale)
    starts = torch.arange(count, dtype=torch.float64)[:, None]
    shared = torch.minimum(edges[1:], starts + 1) - torch.maximum(edges[:-1], starts)
    return torch.where(shared > 1e-9, shared, 0).float()


def _touched(shares: Float[Tensor, "m k"]) -> tuple[int, int]:
    """First of the image's cells that a window lies on, and the one behind the last."""
    touched = shares.sum(1).nonzero()[:, 0]
    return int(touched[0]), int(touched[-1]) + 1
