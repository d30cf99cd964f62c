"""Pairs of patches within reach of each other: compared and pooled as lists, without a matrix of all pairs.

A patch has k partners, those whose centres lie within reach, itself among them; every patch of a grid has as many, and
those outside of the grid count as nothing. So n patches cost n · k in memory and time, where a matrix costs n².
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

__all__ = ["pair_cosines", "pairs_within", "pool_pairs"]

Steps = tuple[tuple[int, int], ...]


def pairs_within(
    grid: Sequence[int], reach: int | float, device: torch.device | str = "cpu"
) -> tuple[Int64[Tensor, "n k"], Bool[Tensor, "n k"]]:
    """The partners of each patch in reading order, and whether they lie on the grid; 0 stands for those that don't.

    Args:
        grid: patches (down, right).
        reach: greatest distance of centres, in patches.
        device: of the result.
    """
    index, inside = _pairs(int(grid[0]), int(grid[1]), reach)
    return index.to(device), inside.to(device)


def pair_cosines(descriptors: Float[Tensor, "b c h w"], reach: int | float | None = None) -> Float32[Tensor, "b n k"]:
    """Cosines of each patch with its partners, 0 outside of the grid.

    Args:
        descriptors: what tells whether two patches are alike, not normalised.
        reach: greatest distance of centres, in patches; None for no limit: the partners are all n patches then.
    """
    units = F.normalize(descriptors.float(), dim=1)
    if reach is None:
        flat = units.flatten(2)
        with torch.autocast(flat.device.type, enabled=False):  # where the frozen parts of a training run in less
            return flat.mT @ flat
    height, width = units.shape[2:]
    margin = int(reach)
    padded = F.pad(units, (margin, margin, margin, margin))
    cosines = [
        (units * padded[..., margin + y : margin + y + height, margin + x : margin + x + width]).sum(1)
        for y, x in _steps(reach)
    ]
    return torch.stack(cosines, dim=-1).flatten(1, 2)


def pool_pairs(
    features: Float[Tensor, "b d h w"], weights: Float[Tensor, "b n k"], reach: int | float, rounds: int = 1
) -> Float32[Tensor, "b d h w"]:
    """Replace the features of each patch by the sum over its partners, weighted.

    Args:
        features: on the patch grid.
        weights: of the partners; those outside of the grid must have 0.
        reach: that of the pairs.
        rounds: how many times in a row.
    """
    batch, _, height, width = features.shape
    index, _ = pairs_within((height, width), reach, features.device)
    places = (index + height * width * torch.arange(batch, device=index.device)[:, None, None]).flatten(0, 1)
    # Sums of rows by index: nothing as large as features times partners is ever held.
    rows, flat = features.float().flatten(2).mT.flatten(0, 1).contiguous(), weights.float().flatten(0, 1)
    for _ in range(rounds):
        rows = F.embedding_bag(places, rows, per_sample_weights=flat, mode="sum")
    return rows.unflatten(0, (batch, height, width)).permute(0, 3, 1, 2)


def _steps(reach: int | float) -> Steps:
    """Steps (down, right) to the partners."""
    sides = range(-int(reach), int(reach) + 1)
    return tuple((y, x) for y in sides for x in sides if y * y + x * x <= reach * reach)


@lru_cache(maxsize=8)
@torch.inference_mode(False)  # what is kept from an inference must serve a training, too
def _pairs(height: int, width: int, reach: int | float) -> tuple[Tensor, Tensor]:
    down, right = torch.tensor(_steps(reach)).T
    y = (torch.arange(height)[:, None, None] + down).expand(-1, width, -1)
    x = (torch.arange(width)[:, None] + right).expand(height, -1, -1)
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    return (y * width + x).where(inside, 0).flatten(0, 1), inside.flatten(0, 1)
