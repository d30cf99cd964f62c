"""Features averaged over the patches that are alike, by a matrix of affinities or by the cosines of descriptors.

Source: CLIP-DINOiser, as :mod:`densevl.dense.refiners.dinoiser` has it.
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from densevl.core.transfers import upload

__all__ = ["pair_cosines", "pairs_within", "pool_by_affinity", "pool_by_cosine", "pool_pairs"]

EPSILON = 1e-6

AFFINITIES_AT_ONCE = 2**24
"""Entries of the patch-by-patch matrix that are held together: 64 MiB in float32."""


def pool_by_affinity(
    features: Float[Tensor, "b d h w"], affinity: Float[Tensor, "b n n"], threshold: float
) -> Float32[Tensor, "b d h w"]:
    """Replace the features of each patch by the mean over the patches that it is alike, weighted by affinity.

    Args:
        features: on the patch grid, not normalised.
        affinity: of the n = h · w patches in reading order; row p holds the weights of patch p's mean.
        threshold: affinities below this count as 0.
    """
    return _pool(features.float().flatten(2), affinity.float(), threshold).unflatten(2, features.shape[2:])


def pool_by_cosine(
    features: Float[Tensor, "b d h w"],
    descriptors: Float[Tensor, "b c h w"],
    threshold: float,
    radius: int | float | None = None,
    rounds: int = 1,
) -> Float32[Tensor, "b d h w"]:
    """:func:`pool_by_affinity` with the cosines of descriptors as affinities, never all of them at once.

    Args:
        features: on the patch grid, not normalised.
        descriptors: what tells whether two patches are alike, on the same grid, not normalised.
        threshold: cosines below this count as 0.
        radius: cosines of patches whose centres are farther apart than this, in patches, count as 0; None for no limit.
        rounds: how many times in a row.
    """
    if radius is not None:
        cosines = pair_cosines(descriptors, radius)
        weights = cosines.masked_fill_(cosines < threshold, 0)
        return pool_pairs(features, weights / (weights.sum(2, keepdim=True) + EPSILON), radius, rounds)
    flat, units = features.float().flatten(2), F.normalize(descriptors.float().flatten(2), dim=1)
    whole = torch.compiler.is_compiling()  # a graph has no loop over a number of rows that is a symbol
    rows = units.shape[2] if whole else max(1, AFFINITIES_AT_ONCE // (units.shape[0] * units.shape[2]))
    for _ in range(rounds):
        starts = range(0, units.shape[2], rows)
        flat = torch.cat([_pool(flat, units[:, :, i : i + rows].mT @ units, threshold) for i in starts], dim=2)
    return flat.unflatten(2, features.shape[2:])


def _pool(flat: Float[Tensor, "b d n"], affinity: Float[Tensor, "b m n"], threshold: float) -> Float[Tensor, "b d m"]:
    weights = affinity.masked_fill(affinity < threshold, 0)
    return (flat @ weights.mT).div_(weights.sum(2)[:, None] + EPSILON)


Steps = tuple[tuple[int, int], ...]


def pairs_within(
    grid: Sequence[int], radius: int | float, device: torch.device | str = "cpu"
) -> tuple[Int64[Tensor, "n k"], Bool[Tensor, "n k"]]:
    """The partners of each patch in reading order, and whether they lie on the grid; 0 stands for those that don't.

    Args:
        grid: patches (down, right).
        radius: greatest distance of centres, in patches.
        device: of the result.
    """
    return _pairs(int(grid[0]), int(grid[1]), radius, torch.device(device))


def pair_cosines(descriptors: Float[Tensor, "b c h w"], radius: int | float | None = None) -> Float32[Tensor, "b n k"]:
    """Cosines of each patch with its partners, 0 outside of the grid.

    Args:
        descriptors: what tells whether two patches are alike, not normalised.
        radius: greatest distance of centres, in patches; None for no limit: the partners are all n patches then.
    """
    units = F.normalize(descriptors.float(), dim=1)
    if radius is None:
        flat = units.flatten(2)
        with torch.autocast(flat.device.type, enabled=False):  # where the frozen parts of a training run in less
            return flat.mT @ flat
    height, width = units.shape[2:]
    margin = int(radius)
    padded = F.pad(units, (margin, margin, margin, margin))
    cosines = [
        (units * padded[..., margin + y : margin + y + height, margin + x : margin + x + width]).sum(1)
        for y, x in _steps(radius)
    ]
    return torch.stack(cosines, dim=-1).flatten(1, 2)


def pool_pairs(
    features: Float[Tensor, "b d h w"], weights: Float[Tensor, "b n k"], radius: int | float, rounds: int = 1
) -> Float32[Tensor, "b d h w"]:
    """Replace the features of each patch by the sum over its partners, weighted.

    Args:
        features: on the patch grid.
        weights: of the partners; those outside of the grid must have 0.
        radius: that of the pairs.
        rounds: how many times in a row.
    """
    if torch.compiler.is_compiling():
        return _pool_in_graph(features.float(), weights.float(), radius, rounds)
    batch, _, height, width = features.shape
    index, _ = pairs_within((height, width), radius, features.device)
    places = (index + height * width * torch.arange(batch, device=index.device)[:, None, None]).flatten(0, 1)
    # Sums of rows by index: nothing as large as features times partners is ever held.
    rows, flat = features.float().flatten(2).mT.flatten(0, 1).contiguous(), weights.float().flatten(0, 1)
    for _ in range(rounds):
        rows = F.embedding_bag(places, rows, per_sample_weights=flat, mode="sum")
    return rows.unflatten(0, (batch, height, width)).permute(0, 3, 1, 2)


def _pool_in_graph(
    features: Float[Tensor, "b d h w"], weights: Float[Tensor, "b n k"], radius: int | float, rounds: int
) -> Float[Tensor, "b d h w"]:
    """:func:`pool_pairs` in a graph, whose grid has no size yet: fewer kinds of operators, more memory."""
    grid = features.shape[2:]
    index, _ = _find_pairs(grid[0], grid[1], radius)
    rows = features.flatten(2).mT
    for _ in range(rounds):
        partners = rows[:, index.to(rows.device).flatten()].unflatten(1, (-1, index.shape[1]))
        rows = (weights[:, :, None] @ partners)[:, :, 0]
    return rows.mT.unflatten(2, grid)


def _steps(radius: int | float) -> Steps:
    """Steps (down, right) to the partners."""
    sides = range(-int(radius), int(radius) + 1)
    return tuple((y, x) for y in sides for x in sides if y * y + x * x <= radius * radius)


@lru_cache(maxsize=8)
@torch.inference_mode(False)  # what is kept from an inference must serve a training, too
def _pairs(height: int, width: int, radius: int | float, device: torch.device) -> tuple[Tensor, Tensor]:
    index, inside = _find_pairs(height, width, radius)
    return upload(index, device), upload(inside, device)


def _find_pairs(height: int, width: int, radius: int | float) -> tuple[Int64[Tensor, "n k"], Bool[Tensor, "n k"]]:
    down, right = torch.tensor(_steps(radius)).T
    y = (torch.arange(height)[:, None, None] + down).expand(-1, width, -1)
    x = (torch.arange(width)[:, None] + right).expand(height, -1, -1)
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    return (y * width + x).where(inside, 0).flatten(0, 1), inside.flatten(0, 1)
