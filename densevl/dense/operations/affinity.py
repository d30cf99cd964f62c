"""Affinities of all pairs of tokens, and what they gather.

With x and y maps of tokens (queries, keys, values, features of another model), d the width of a head and v what is
gathered::

    measure(x, y) = x yᵀ / √d  (``"scaled"``),  x yᵀ  (``"dot"``)  or  cos(x, y)  (``"cosine"``)
    gather        = softmax(measure(x, y) + bias) v
    gate(S; β, γ) = softmax of (S − β mean S) γ, entries below 0 being −∞
    pool(S, f)    = S f / (Σ S + 1e-6)

Source of the gate: Lan et al., ProxyCLIP, ECCV 2024, https://arxiv.org/abs/2408.04883, as later papers use it (Trident,
SC-CLIP, SFP, RADSeg). Where we differ: the mean is that of each image (or window), and not of all that lie in a batch,
so that an image by itself and in a batch come out the same; a token that is left without a partner, as all are in an
image of one colour, keeps itself, where the published rule gives no number.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from densevl.core.attention import attend

__all__ = ["MEASURES", "gate", "gather", "pair_weights", "pool", "token_cosines"]

MEASURES = ("scaled", "dot", "cosine")
"""How two tokens are compared: their product by the root of its length, their product, their cosine."""

EPSILON = 1e-6
"""Added to the sum of the weights of a mean, which may be 0."""


def token_cosines(x: Float[Tensor, "*b n c"], y: Float[Tensor, "*b m c"] | None = None) -> Float[Tensor, "*b n m"]:
    """Cosines of all pairs of tokens.

    Args:
        x: tokens, not normalised.
        y: those that they are compared with; None for themselves.
    """
    unit = F.normalize(x, dim=-1)
    return unit @ (unit if y is None else F.normalize(y, dim=-1)).mT


def pair_weights(
    x: Float[Tensor, "*b n c"],
    y: Float[Tensor, "*b m c"],
    measure: str = "scaled",
    bias: Float[Tensor, "n m"] | None = None,
) -> Float[Tensor, "*b n m"]:
    """Softmax attention as a matrix, for what needs the weights themselves; :func:`gather` never makes it.

    Args:
        x: tokens that attend.
        y: tokens that are attended to.
        measure: one of :data:`MEASURES`.
        bias: added before the softmax.
    """
    if measure == "cosine":
        scores = token_cosines(x, y)
    else:
        scores = (x * x.shape[-1] ** -0.5 if measure == "scaled" else x) @ y.mT
    return (scores if bias is None else scores + bias).softmax(dim=-1)


def gather(
    x: Float[Tensor, "b heads n c"],
    y: Float[Tensor, "b heads m c"],
    values: Float[Tensor, "b heads m e"],
    measure: str = "scaled",
    bias: Float[Tensor, "n m"] | None = None,
) -> Float[Tensor, "b heads n e"]:
    """What each token gathers by softmax attention.

    Args:
        x: tokens that attend.
        y: tokens that are attended to.
        values: of these.
        measure: one of :data:`MEASURES`.
        bias: added before the softmax.
    """
    if measure == "cosine":
        x, y = F.normalize(x, dim=-1), F.normalize(y, dim=-1)
    if measure == "scaled" and bias is None:
        return attend(x, y, values)
    scale = None if measure == "scaled" else 1.0
    return F.scaled_dot_product_attention(x, y, values, attn_mask=bias, scale=scale)


def gate(
    similarity: Float[Tensor, "b *heads n m"],
    beta: float | Tensor = 1.0,
    gamma: float | Tensor = 1.0,
    *,
    together: bool = False,
    mean: Float[Tensor, "..."] | None = None,
    own: Int[Tensor, " n"] | None = None,
) -> Float[Tensor, "b *heads n m"]:
    """Attention to the tokens that are more alike than tokens are on the whole.

    Args:
        similarity: of all pairs of tokens of each image.
        beta: factor of the mean, below which a pair is cut off; a number, or a tensor that is broadcast.
        gamma: factor of what lies above it, a number or a tensor.
        together: take one mean over the batch, as for the windows of one image.
        mean: the mean, where the similarity is a part of a larger one; None for that of each image.
        own: the column of each row's own token; None where row i is that of token i.
    """
    if mean is None:
        each = similarity.flatten(1).mean(1).view(-1, *(1,) * (similarity.ndim - 1))
        mean = similarity.mean() if together else each
    above = (similarity - beta * mean) * gamma
    if own is None:
        own = torch.arange(similarity.shape[-2], device=similarity.device)
    itself = own[:, None] == torch.arange(similarity.shape[-1], device=similarity.device)
    alone = (above < 0).all(dim=-1, keepdim=True)
    above = above.masked_fill(above < 0, -torch.inf)
    return torch.where(alone & itself, 0.0, above).softmax(dim=-1)


def pool(weights: Float[Tensor, "*b n m"], features: Float[Tensor, "*b m c"]) -> Float[Tensor, "*b n c"]:
    """Weighted means of tokens.

    Args:
        weights: of each mean, not below 0.
        features: of the tokens.
    """
    return (weights @ features) / (weights.sum(dim=-1, keepdim=True) + EPSILON)
