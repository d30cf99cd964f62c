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
from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from torch import Tensor

from densevl.core.geometry import Size
from densevl.dense.contracts import named
from densevl.encoders.contracts import LastBlock, Needs

__all__ = ["NACLIPReadout", "neighbour_bias"]


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

    def __call__(self, last: LastBlock) -> Float[Tensor, "b c h w"]:
        """Tokens of the block on the patch grid."""
        block = last.block
        keys, values = block.qkv(block.norm_1(last.tokens), "kv")
        bias = None
        if self.sigma is not None:
            made = neighbour_bias.__wrapped__ if torch.compiler.is_compiling() else neighbour_bias
            places = made(last.grid, self.sigma, keys.device)
            bias = F.pad(places, (last.prefix, 0, last.prefix, 0)).to(keys.dtype)
        mixed = F.scaled_dot_product_attention(keys, keys, values, attn_mask=bias)
        return last.behind(mixed, self.residual, self.mlp)


@lru_cache(maxsize=16)
def neighbour_bias(grid: Size, sigma: float, device: torch.device) -> Float32[Tensor, "n n"]:
    """Likeness of the places of all pairs of patches: ``exp(−distance² / (2 σ²))``.

    Args:
        grid: patches (down, right), taken in reading order.
        sigma: in patches.
        device: where it lies.
    """
    rows, columns = (torch.arange(side, dtype=torch.float32, device=device) for side in grid)
    places = torch.cartesian_prod(rows, columns)
    distances = (places[:, None] - places[None]).square().sum(dim=2)
    return torch.exp(-distances / (2 * sigma**2))
