"""Kernels of heads, compared and matched by their eigenvalues.

A kernel k kᵀ of n tokens has at most as many eigenvalues above 0 as a head is wide, those of kᵀ k. Divided by their sum
they are a distribution; two of them are as far apart as their sorted values are by Euclid, over √2, from 0 to 1. (A sum
of differences would leave many ways of matching heads equally good.)
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64
from torch import Tensor

__all__ = ["assign", "low_rank", "spectral_distances", "spectrum"]

EPSILON = 1e-12


def spectrum(keys: Float[Tensor, "*b n d"]) -> Float[Tensor, "*b d"]:
    """Eigenvalues of k kᵀ, largest first, divided by their sum.

    Args:
        keys: k, of one head.
    """
    values = torch.linalg.eigvalsh(_gram(keys)).clamp(min=0).flip(-1)
    return (values / (values.sum(dim=-1, keepdim=True) + EPSILON)).to(keys)


def _gram(keys: Float[Tensor, "*b n d"]) -> Float64[Tensor, "*b d d"]:
    """kᵀ k on the CPU, which all devices have and where matrices of this size are as fast, in float64."""
    return (keys.mT @ keys).cpu().double()


def spectral_distances(left: Float[Tensor, "m d"], right: Float[Tensor, "n e"]) -> Float[Tensor, "m n"]:
    """Distances of spectra, from 0 to 1; the shorter ones are continued by zeros.

    Args:
        left: spectra.
        right: those that they are compared with.
    """
    width = max(left.shape[1], right.shape[1])
    left, right = (F.pad(one, (0, width - one.shape[1])) for one in (left, right))
    return (left[:, None] - right[None]).norm(dim=-1) / 2**0.5


def assign(costs: Sequence[Sequence[float]]) -> list[int]:
    """The column of each row, no column twice, with the least sum of costs (the Hungarian method).

    Args:
        costs: not more rows than columns.
    """
    rows, columns = len(costs), len(costs[0])
    row_price, price = [0.0] * (rows + 1), [0.0] * (columns + 1)
    owner, way = [0] * (columns + 1), [0] * (columns + 1)
    for row in range(1, rows + 1):
        owner[0], column = row, 0
        least, seen = [float("inf")] * (columns + 1), [False] * (columns + 1)
        while owner[column]:
            seen[column] = True
            current, step, following = owner[column], float("inf"), 0
            for j in range(1, columns + 1):
                if seen[j]:
                    continue
                reduced = costs[current - 1][j - 1] - row_price[current] - price[j]
                if reduced < least[j]:
                    least[j], way[j] = reduced, column
                if least[j] < step:
                    step, following = least[j], j
            for j in range(columns + 1):
                if seen[j]:
                    row_price[owner[j]] += step
                    price[j] -= step
                else:
                    least[j] -= step
            column = following
        while column:
            owner[column] = owner[way[column]]
            column = way[column]
    found = [0] * rows
    for j in range(1, columns + 1):
        if owner[j]:
            found[owner[j] - 1] = j - 1
    return found


def low_rank(keys: Float[Tensor, "*b n d"], rank: int) -> Float[Tensor, "*b n d"]:
    """Keys whose kernel is the nearest of a rank to that of the keys.

    Args:
        keys: of one head.
        rank: eigenvectors that are kept, those of the largest eigenvalues.
    """
    _, vectors = torch.linalg.eigh(_gram(keys))
    kept = vectors[..., max(0, vectors.shape[-1] - rank) :].to(keys)
    return keys @ kept @ kept.mT
