"""The rotation that brings one set of vectors nearest to another (orthogonal Procrustes).

Source: Schönemann, A generalized solution of the orthogonal Procrustes problem, Psychometrika 31, 1966. With the
centred vectors a and b of the same tokens and M = aᵀ b::

    R = M (Mᵀ M)^−½        the polar factor of M; a R is nearest to b among all rotations and reflections of a

The inverse root comes of a singular value decomposition, or of a few coupled Newton–Schulz steps (Higham, Functions of
Matrices, 2008, §6.7), as PEARL takes it: with A = Mᵀ M / |Mᵀ M| + 1e-6 I, Y = A and Z = I::

    T = (3 I − Z Y) / 2      Y ← Y T      Z ← T Z          Z / √|Mᵀ M| → (Mᵀ M)^−½

Five steps are not yet the polar factor, which PEARL's results depend on.
"""

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["centred", "polar"]

EPSILON = 1e-6


def centred(tokens: Float[Tensor, "*b n c"], weights: Float[Tensor, "*b n 1"]) -> Float[Tensor, "*b n c"]:
    """Tokens less their weighted mean.

    Args:
        tokens: vectors.
        weights: of each, not below 0; they need not sum to 1.
    """
    shares = weights / (weights.sum(dim=-2, keepdim=True) + EPSILON)
    return tokens - (shares * tokens).sum(dim=-2, keepdim=True)


def polar(matrix: Float[Tensor, "*b d d"], steps: int | None = 5) -> Float[Tensor, "*b d d"]:
    """The polar factor of square matrices, or what some Newton–Schulz steps make of it.

    Args:
        matrix: M.
        steps: of Newton and Schulz; None for the exact factor by singular values.
    """
    if steps is None:
        left, _, right = torch.linalg.svd(matrix)
        return left @ right
    one = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    square = matrix.mT @ matrix
    size = square.flatten(-2).norm(dim=-1)[..., None, None] + torch.finfo(matrix.dtype).tiny
    y, z = square / size + EPSILON * one, one.expand_as(square)
    for _ in range(steps):
        turn = (3 * one - z @ y) / 2
        y, z = y @ turn, turn @ z
    return matrix @ z * size.rsqrt()
