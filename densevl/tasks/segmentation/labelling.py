"""From class probabilities on the patch grids of windows to one label for each pixel of the original image.

The protocol (mmsegmentation's slide inference, as CLIP-DINOiser uses it): the probabilities of each window are
upsampled bilinearly to the window's pixels, the windows are averaged where they overlap, the merged map is resized
bilinearly to the original size, and the best class of each pixel is its label.

Here no ``k × H × W`` tensor is made. Every step is linear and acts on rows and columns alone, and the windows lie on a
grid, so the score of class c is ``A_y S_c A_xᵀ``: ``S_c`` are the patches of all windows side by side, and the rows of
``A_y`` and ``A_x`` are convex weights. Along an axis a row of ``A`` changes linearly with the pixel, but at a few
*knots* (patch centres, edges of windows). Hence, with the scores known at the knots, a pixel is the bilinear mean of
the four knots around it, and this gives a pruning that is exact, not only safe:

* a class that is nowhere above another one at the four corners of a cell of knots is nowhere above it inside. This also
  holds for the rounded numbers: the weights are not negative, and rounded sums and products are monotone;
* so where one class wins at all four corners, it has the cell. In the other cells only the classes that beat a
  reference class at some corner are evaluated, one rank of rivals after another for a band of the image at once.

To find out where that is takes questions whose answers decide what is computed next, for which a GPU would have to be
waited for, several times an image. There all classes are evaluated everywhere, a few of them at a time and without any
question: by the same arithmetic, so that the labels are the same.

Convention: half-pixel centres (``align_corners=False``) in both interpolations. Arithmetic is float32. Windows whose
side is no multiple of the patch are padded at the right and the bottom; what the padding holds is cropped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.core.geometry import Extent, Size
from densevl.core.transfers import upload
from densevl.tasks.segmentation.windows import WindowPlan

__all__ = ["label", "scores"]

_BAND = 1 << 20  # scores at the knots of one band of the image: a few of them stay in a processor's cache
_PIXELS_AT_ONCE = 1 << 24  # scores at pixels that are held together where all are evaluated: 64 MiB, a few times


@dataclass(frozen=True, eq=False)
class _Axis:
    """One axis of the protocol, ``A = L K``: from cells to knots by K, from knots to output pixels by L.

    Attributes:
        knots: K, weights of the cells (all windows one after another) at each knot.
        left: knot before each output pixel, ascending; the next one is behind it.
        weights: of these two knots, the two non-zeros of a row of L.
    """

    knots: Float32[Tensor, "m cells"]
    left: Int64[Tensor, " out"]
    weights: Float32[Tensor, "2 out"]

    def matrix(self) -> Float32[Tensor, "out cells"]:
        return self.weights[0, :, None] * self.knots[self.left] + self.weights[1, :, None] * self.knots[self.left + 1]


def _hats(positions: Float[Tensor, " p"], cells: int) -> Float[Tensor, "p cells"]:
    """Weights of linear interpolation at positions in units of cells, constant beyond the outermost centres."""
    index = torch.arange(cells, dtype=positions.dtype)
    return (1 - (positions.clamp(0, cells - 1)[:, None] - index).abs()).clamp(min=0)


@lru_cache(maxsize=128)
def _axis(
    starts: tuple[int, ...],
    window: int,
    first: int | float,
    pitch: float,
    cells: int,
    length: int,
    out: int,
    device: torch.device,
) -> _Axis:
    """The axis of ``length`` resized pixels with windows at ``starts``, seen at ``out`` pixels. Built in float64.

    A window has ``cells`` patches of ``pitch`` pixels each, which begin ``first`` pixels behind its own begin.
    """
    pixels = torch.arange(length, dtype=torch.float64)
    upsampled = []
    for start in starts:
        inside = (pixels >= start) & (pixels < start + window)
        upsampled.append(inside[:, None] * _hats((pixels - start - first + 0.5) / pitch - 0.5, cells))
    merged = torch.cat(upsampled, dim=1)
    merged /= merged.sum(1, keepdim=True)  # each window that sees the pixel contributes 1: the sum is their count

    bends = (merged[2:] - 2 * merged[1:-1] + merged[:-2]).abs().amax(1) > 1e-9
    knots = torch.cat([torch.tensor([0]), bends.nonzero()[:, 0] + 1, torch.tensor([length - 1])])
    position = ((torch.arange(out, dtype=torch.float64) + 0.5) * (length / out) - 0.5).clamp(0, length - 1)
    left = (torch.searchsorted(knots.double(), position, right=True) - 1).clamp(max=len(knots) - 2)
    right_weight = (position - knots[left]) / (knots[left + 1] - knots[left]).clamp(min=1)
    weights = torch.stack([1 - right_weight, right_weight])
    return _Axis(*(upload(one, device) for one in (merged[knots].float(), left, weights.float())))


def _axes(
    plan: WindowPlan, grid: Size, patch: int, size: Size, device: torch.device, extent: Extent | None
) -> tuple[_Axis, _Axis]:
    left, top, right, bottom = extent or (0, 0, grid[1] * patch, grid[0] * patch)
    sides = ((top, (bottom - top) / grid[0]), (left, (right - left) / grid[1]))
    starts = (plan.ys, plan.xs)
    down, across = (
        _axis(starts[i], plan.window_size[i], *sides[i], grid[i], plan.size[i], size[i], device) for i in range(2)
    )
    return down, across


def _stack(
    probabilities: Float[Tensor, "n k h w"], plan: WindowPlan, patch: int, size: Size, extent: Extent | None
) -> Float32[Tensor, "rows columns k"]:
    """Lay the patches of all windows side by side, as the windows lie."""
    n, k, h, w = probabilities.shape
    rows, columns = plan.grid(patch) if extent is None else (h, w)
    if n != len(plan) or (h, w) != (rows, columns) or k == 0:
        raise UsageError(
            f"probabilities: the plan has {len(plan)} windows of {rows}×{columns} patches of {patch} pixels, so "
            f"expected a shape of ({len(plan)}, classes, {rows}, {columns}), not ({n}, {k}, {h}, {w})"
        )
    if min(size) < 1:
        raise UsageError(f"size: expected at least 1×1 pixels, not {size[0]}×{size[1]}")
    grid = probabilities.float().unflatten(0, (len(plan.ys), len(plan.xs)))
    return grid.permute(0, 3, 1, 4, 2).reshape(len(plan.ys) * h, len(plan.xs) * w, k)


@torch.no_grad()
def label(
    probabilities: Float[Tensor, "n k h w"],
    plan: WindowPlan,
    patch_size: int,
    size: Size,
    threshold: float | None = None,
    background: int | None = None,
    *,
    prune: bool = True,
    extent: Extent | None = None,
) -> tuple[Int64[Tensor, "H W"], Float32[Tensor, "H W"]]:
    """Label every pixel of an image with its best class.

    Args:
        probabilities: of each class on the patch grid of each window, in the order of ``plan.crop``. Any scores do.
        plan: the windows of the resized image.
        patch_size: side of a patch in pixels of the resized image.
        size: of the original image, which is labelled.
        threshold: pixels whose best score is below get ``background``.
        background: a class, or any other label.
        prune: ``False`` evaluates all classes everywhere, with the same result to the bit; for checks.
        extent: what the grid covers evenly, in pixels of each window, whatever the side of a patch; None for patches
            from its upper left corner. What lies beyond the window is cropped.

    Returns:
        The labels, and the best score of each pixel. Of classes that tie to the last bit, one that wins at a corner of
        the cell comes before the others, and then the first.

    Raises:
        UsageError: where the probabilities do not fit the plan, or only one of threshold and background is given.
    """
    if (threshold is None) != (background is None):
        raise UsageError(
            f"threshold={threshold}, background={background}: pixels below the threshold become background, "
            "so give both or neither"
        )
    grid = _stack(probabilities, plan, patch_size, size, extent)
    cells = (probabilities.shape[2], probabilities.shape[3])
    y, x = _axes(plan, cells, patch_size, size, grid.device, extent)
    grid = x.knots @ grid
    if grid.device.type == "cpu":
        labels, best = _label_pruned(grid, y, x, prune)
    else:
        labels, best = _label_all(torch.tensordot(y.knots, grid, dims=1), y, x)
    if threshold is not None and background is not None:
        labels = labels.masked_fill(best < threshold, background)
    return labels, best


def _label_pruned(
    grid: Float32[Tensor, "rows columns k"], y: _Axis, x: _Axis, prune: bool
) -> tuple[Int64[Tensor, "H W"], Float32[Tensor, "H W"]]:
    """Label an image band by band, given the scores at the rows of cells and the knots of columns."""
    size = len(y.left), len(x.left)
    labels, best = torch.empty(size, dtype=torch.int64), torch.empty(size)
    step = max(1, _BAND // grid[0].numel())
    bands = torch.arange(0, len(y.knots) - 1, step)
    ends = torch.searchsorted(y.left, bands + step).tolist()
    for band, start, end in zip(bands.tolist(), [0, *ends], ends, strict=False):
        if start < end:
            knots = torch.tensordot(y.knots[band : band + step + 1], grid, dims=1)
            pixels = _Axis(y.knots, y.left[start:end] - band, y.weights[:, start:end])
            labels[start:end], best[start:end] = _label_band(knots, pixels, x, prune)
    return labels, best


def _label_all(
    knots: Float32[Tensor, "rows columns k"], y: _Axis, x: _Axis
) -> tuple[Int64[Tensor, "H W"], Float32[Tensor, "H W"]]:
    """Label an image by all classes at all pixels, given the scores at all knots; nothing asks for a value."""
    classes, width = knots.shape[2], len(x.left)
    some = max(1, min(classes, _PIXELS_AT_ONCE // (len(y.left) * width)))
    rows = max(1, min(len(y.left), _PIXELS_AT_ONCE // width))
    labels = torch.zeros(len(y.left), width, dtype=torch.int64, device=knots.device)
    best = torch.full(labels.shape, -torch.inf, device=knots.device)
    for start in range(0, len(y.left), rows):
        band = slice(start, start + rows)
        left, weights = y.left[band], y.weights[:, band, None]
        for first in range(0, classes, some):
            scores = knots[..., first : first + some].permute(2, 0, 1)
            edges = scores[..., x.left] * x.weights[0] + scores[..., x.left + 1] * x.weights[1]
            pixels = (edges[:, left] * weights[0]).add_(edges[:, left + 1].mul_(weights[1]))
            highest, index = pixels.max(dim=0)
            labels[band] = torch.where(highest > best[band], index + first, labels[band])
            best[band] = torch.maximum(best[band], highest)
    return labels, best


def _label_band(
    knots: Float32[Tensor, "rows columns k"], y: _Axis, x: _Axis, prune: bool
) -> tuple[Int64[Tensor, "H W"], Float32[Tensor, "H W"]]:
    """Label the pixels of a band of cells, given the scores at the cells' corners."""
    columns, k = knots.shape[1:]
    ranks, depth = _contenders(knots, prune)
    # Rows of cells with the most contenders come first, and so do their pixels: each rank then works on a slice.
    depth, order = depth.sort(descending=True)
    row, turn = order.argsort()[y.left].sort(stable=True)
    ranks, (above, below) = ranks[:, order], y.weights[:, turn, None]
    corner = order[:, None] * columns + torch.arange(columns - 1, device=order.device)
    needed = torch.arange(len(ranks), device=order.device)[:, None]
    cell_rows, pixel_rows = ((d > needed).sum(1).tolist() for d in (depth, depth[row]))
    flat, buffers = knots.flatten(), torch.empty(2, len(row), len(x.left), device=knots.device)

    def evaluate(rank: int) -> Tensor:
        cells, pixels = slice(cell_rows[rank]), slice(pixel_rows[rank])
        upper_left = corner[cells] * k + ranks[rank, cells]
        a, b, c, d = (flat.take(upper_left + o * k).index_select(1, x.left) for o in (0, 1, columns, columns + 1))
        edges = a.mul_(x.weights[0]).add_(b.mul_(x.weights[1])), c.mul_(x.weights[0]).add_(d.mul_(x.weights[1]))
        upper, lower = buffers[:, pixels]
        torch.index_select(edges[0], 0, row[pixels], out=upper)
        torch.index_select(edges[1], 0, row[pixels], out=lower)
        return upper.mul_(above[pixels]).add_(lower.mul_(below[pixels]))

    best = evaluate(0).clone()
    winner = torch.zeros(best.shape, dtype=torch.uint8 if len(ranks) < 256 else torch.int32, device=best.device)
    for rank in range(1, len(ranks)):
        rival = evaluate(rank)
        old, old_winner = best[: len(rival)], winner[: len(rival)]
        torch.maximum(old_winner, (rival > old).to(winner.dtype).mul_(rank), out=old_winner)
        torch.maximum(old, rival, out=old)
    cell = row[:, None] * (columns - 1) + x.left
    labels = ranks.flatten().take(cell.add_(winner.long().mul_(ranks[0].numel())))
    back = turn.argsort()
    return labels.index_select(0, back), best.index_select(0, back)


def _contenders(
    knots: Float32[Tensor, "rows columns k"], prune: bool
) -> tuple[Int64[Tensor, "ranks cell_rows cell_columns"], Int64[Tensor, " cell_rows"]]:
    """Classes that can win in each cell of knots.

    Returns:
        The winners at the four corners, then their rivals inside in ascending order, shorter lists filled up with
        repetitions; and the ranks that each row of cells needs.
    """
    columns = knots.shape[1]
    best = knots.argmax(2)
    winners = torch.stack([best[:-1, :-1], best[:-1, 1:], best[1:, :-1], best[1:, 1:]])
    mixed = (winners[1:] != winners[0]).any(0) if prune else torch.ones_like(winners[0], dtype=torch.bool)
    row, column = mixed.nonzero(as_tuple=True)
    upper_left, flat = row * columns + column, knots.flatten(0, 1)
    corners = [flat[upper_left + offset] for offset in (0, 1, columns, columns + 1)]
    rivals = _rivals(corners, winners[:, row, column]) if prune else torch.ones_like(corners[0], dtype=torch.bool)
    cell, classes = rivals.nonzero(as_tuple=True)

    count = torch.bincount(cell, minlength=len(row))
    ranks_needed = torch.ones_like(winners[0])
    ranks_needed[row, column] = 4 + count
    ranks = winners[0].repeat(int(ranks_needed.max()), 1, 1)
    ranks[:4] = winners[: len(ranks)]
    rank = torch.arange(len(cell), device=cell.device) - (count.cumsum(0) - count)[cell] + 4
    ranks[rank, row[cell], column[cell]] = classes
    return ranks, ranks_needed.amax(1)


def _rivals(corners: list[Float32[Tensor, "cells k"]], winners: Int64[Tensor, "4 cells"]) -> Bool[Tensor, "cells k"]:
    """Classes that may win inside a cell though at no corner: for each corner's winner, above it at another corner."""
    bars = torch.stack([corner.gather(1, winners.T) for corner in corners])  # corner, cell, winner
    strongest = bars.sum(0).argmax(1, keepdim=True)
    rivals = torch.zeros_like(corners[0], dtype=torch.bool)
    for corner, bar in zip(corners, bars, strict=True):
        rivals |= corner > bar.gather(1, strongest)
    # One winner rules nearly all classes out; the others are asked about the rest only.
    cell, classes = rivals.nonzero(as_tuple=True)
    scores_there = torch.stack([corner[cell, classes] for corner in corners])
    for winner in range(4):
        rivals[cell, classes] &= (scores_there > bars[:, cell, winner]).any(0)
    return rivals


@torch.no_grad()
def scores(
    probabilities: Float[Tensor, "n k h w"],
    plan: WindowPlan,
    patch_size: int,
    size: Size,
    classes: Sequence[int] | None = None,
    extent: Extent | None = None,
    cell: Size = (1, 1),
) -> Float32[Tensor, "c _ _"]:
    """The score of each class at each pixel of the original image; large, 4 bytes × classes × pixels.

    Args:
        probabilities: of each class on the patch grid of each window, in the order of ``plan.crop``.
        plan: the windows of the resized image.
        patch_size: side of a patch in pixels of the resized image.
        size: of the original image.
        classes: indices of the classes wanted, all by default.
        extent: what the grid covers evenly, in pixels of each window; None for patches from its upper left corner.
        cell: pixels (down, right) over which means are given in the place of pixels; what is left of a side is dropped.

    Raises:
        UsageError: where the probabilities do not fit the plan.
    """
    chosen = probabilities if classes is None else probabilities[:, list(classes)]
    grid = _stack(chosen, plan, patch_size, size, extent)
    cells = (chosen.shape[2], chosen.shape[3])
    axes = _axes(plan, cells, patch_size, size, grid.device, extent)
    y, x = (_means(axis.matrix(), pixels) for axis, pixels in zip(axes, cell, strict=True))
    result = torch.empty((grid.shape[2], len(y), len(x)), device=grid.device)
    for index, out in enumerate(result):
        torch.mm(y @ grid[:, :, index], x.T, out=out)
    return result


def _means(rows: Float32[Tensor, "m cells"], count: int) -> Float32[Tensor, "n cells"]:
    """Means of so many rows each."""
    return rows if count == 1 else rows[: len(rows) // count * count].unflatten(0, (-1, count)).mean(1)
