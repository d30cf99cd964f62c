"""NACLIP: each patch attends to keys like its own, and to its neighbours.

Source: Hajimiri et al., Pay Attention to Your Neighbours: Training-Free Open-Vocabulary Semantic Segmentation, WACV
2025, https://arxiv.org/abs/2404.08181; reference code sinahmr/NACLIP at commit 0cac3a6. With k and v of the last block
and ω the likeness of places::

    A = softmax(k kᵀ / √d + ω)            ω_ij = exp(−|place_i − place_j|² / (2 σ²)) in patches
    x = out_proj(A v)                      the architecture "reduced": no residual, no feed-forward layers

The class token takes part in the attention; ω is 0 in its row and its column. The protocol that belongs to it resizes
the position embedding by the ratio (side + 0.1) / native side (``positions="plus"``) and drops the rest of a side that
is no multiple of the patch (``border="drop"``).

Where we differ: any batch and any grid; the biases of places are made for a grid once, and kept.
"""

from dataclasses import dataclass
from functools import cached_property

from jaxtyping import Float
from torch import Tensor

from densevl.dense.contracts import named
from densevl.dense.readouts.attention import AttentionReadout, Term
from densevl.encoders.contracts import LastBlock, Needs

__all__ = ["NACLIPReadout"]


@dataclass(frozen=True)
class NACLIPReadout:
    """Read the last block by the likeness of keys and of places.

    Attributes:
        sigma: of the Gaussian of places, in patches; None for no bias (keys alone).
        residual: add the input of the block; the published architecture "vanilla" does, "reduced" does not.
        mlp: add the feed-forward layers; "vanilla" does.
    """

    sigma: float | None = 5.0
    residual: bool = False
    mlp: bool = False

    needs = Needs()

    @property
    def name(self) -> str:
        """Its kind and settings."""
        return named("naclip", self)

    @cached_property
    def _attention(self) -> AttentionReadout:
        return AttentionReadout([Term("kk", sigma=self.sigma)], residual=self.residual, mlp=self.mlp)

    def __call__(self, last: LastBlock) -> Float[Tensor, "b c h w"]:
        """Tokens of the block on the patch grid."""
        return self._attention(last)
