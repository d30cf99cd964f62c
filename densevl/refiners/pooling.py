"""Features averaged over the patches that are alike, by a matrix of affinities or by the cosines of descriptors.

Source: CLIP-DINOiser, as :mod:`densevl.refiners.dinoiser` has it.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from torch import Tensor

from densevl.refiners.pairs import pair_cosines, pool_pairs

__all__ = ["pool_by_affinity", "pool_by_cosine"]

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
    reach: int | float | None = None,
    rounds: int = 1,
) -> Float32[Tensor, "b d h w"]:
    """:func:`pool_by_affinity` with the cosines of descriptors as affinities, never all of them at once.

    Args:
        features: on the patch grid, not normalised.
        descriptors: what tells whether two patches are alike, on the same grid, not normalised.
        threshold: cosines below this count as 0.
        reach: cosines of patches whose centres are farther apart than this, in patches, count as 0; None for no limit.
        rounds: how many times in a row.
    """
    if reach is not None:
        cosines = pair_cosines(descriptors, reach)
        weights = cosines.masked_fill_(cosines < threshold, 0)
        return pool_pairs(features, weights / (weights.sum(2, keepdim=True) + EPSILON), reach, rounds)
    flat, units = features.float().flatten(2), F.normalize(descriptors.float().flatten(2), dim=1)
    rows = max(1, AFFINITIES_AT_ONCE // (units.shape[0] * units.shape[2]))
    for _ in range(rounds):
        starts = range(0, units.shape[2], rows)
        flat = torch.cat([_pool(flat, units[:, :, i : i + rows].mT @ units, threshold) for i in starts], dim=2)
    return flat.unflatten(2, features.shape[2:])


def _pool(flat: Float[Tensor, "b d n"], affinity: Float[Tensor, "b m n"], threshold: float) -> Float[Tensor, "b d m"]:
    weights = affinity.masked_fill(affinity < threshold, 0)
    return (flat @ weights.mT).div_(weights.sum(2)[:, None] + EPSILON)
