"""Tokens that do not fit in with the others: two rules by which published heads find them.

**By density** (SC-CLIP), after the local outlier factor (Breunig et al., LOF, SIGMOD 2000). With d_p the squared
distance of token p to its k-th nearest other token and N_p these k tokens::

    factor_p = d_p · mean_{o ∈ N_p} 1 / d_o                                  (SC-CLIP's code)

Breunig's factor compares mean reach distances, r_p = mean_{o ∈ N_p} max(d_o, |p − o|), in the place of d_p: the code
takes d_p for d_o there, so that each maximum is d_p. Both are here.

**By the class token** (SFP): the class token attends to such a token more than the token attends to itself.
"""

import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor

__all__ = ["attention_outliers", "density_outliers", "outlier_factors"]

EPSILON = 1e-10
"""Added to distances, which are 0 where all tokens are the same."""


def outlier_factors(
    tokens: Float[Tensor, "b n c"], neighbours: int = 30, reach: str = "own", squared: bool = True
) -> Float32[Tensor, "b n"]:
    """Local outlier factors: about 1 for a token among its like, larger for one that stands apart.

    Args:
        tokens: of each image, two or more.
        neighbours: k; all others where there are fewer.
        reach: ``"own"`` for the distance of a token to its own k-th neighbour, ``"neighbour"`` for Breunig's.
        squared: whether distances are squared.
    """
    seen = tokens.float()
    distances = torch.cdist(seen, seen)
    distances = distances.square() if squared else distances
    some = min(neighbours, tokens.shape[1] - 1)
    near, which = distances.topk(some + 1, dim=-1, largest=False)
    near, which = near[..., 1:], which[..., 1:]
    last = near[..., -1]
    far = last[..., None] if reach == "own" else torch.maximum(near, _of(last, which))
    density = 1 / (far.mean(dim=-1) + EPSILON)
    return _of(density, which).mean(dim=-1) / density


def _of(values: Float[Tensor, "b n"], which: Tensor) -> Float[Tensor, "b n k"]:
    """Values of the neighbours of each token."""
    return values.gather(1, which.flatten(1)).view(which.shape)


def density_outliers(
    tokens: Float[Tensor, "b n c"], neighbours: int = 30, share: int | float = 0.05
) -> Bool[Tensor, "b n"]:
    """Tokens whose factor lies above the quantile 1 − ``share`` of those of their image; none of fewer than three.

    Args:
        tokens: of each image.
        neighbours: as in :func:`outlier_factors`.
        share: about how many of the tokens are outliers.
    """
    if tokens.shape[1] < 3:
        return torch.zeros(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
    factors = outlier_factors(tokens, neighbours)
    return factors > factors.quantile(1 - share, dim=1, keepdim=True)


def attention_outliers(
    attention: Float[Tensor, "b m m"], prefix: int, most: int = 10, factor: int | float = 1.5
) -> Bool[Tensor, "b n"]:
    """Patches that the class token attends to more than they attend to themselves.

    Args:
        attention: of each image, the mean over the heads; the class token is the first, and patches follow a prefix.
        prefix: number of tokens before the patches.
        most: of more than this, those that the class token attends to most.
        factor: of the attention of the class token.
    """
    called = factor * attention[:, 0, prefix:]
    own = attention.diagonal(dim1=1, dim2=2)[:, prefix:]
    strength = called.masked_fill(called <= own, -torch.inf)
    values, which = strength.topk(min(most, strength.shape[1]), dim=1)
    found = torch.zeros(strength.shape, dtype=torch.bool, device=attention.device)
    return found.scatter(1, which, values > -torch.inf)
