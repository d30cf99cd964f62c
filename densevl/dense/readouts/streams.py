"""Streams: the last blocks attend by likeness to themselves, in a second residual stream beside the trained one.

Sources: GEM, Bousselham et al., Grounding Everything: Emerging Localization Properties in Vision-Language Transformers,
CVPR 2024, https://arxiv.org/abs/2312.00878, code ``gem_torch`` 1.0.1; and CLIP Surgery, Li et al., A Closer Look at the
Explainability of Contrastive Language-Image Pre-training, Pattern Recognition 2025, https://arxiv.org/abs/2304.05653,
reference commit d4696d4. With u = ln_1(x) of the trained stream x, and q, k, v its projections, in each of the last m
blocks::

    z ∈ {v, k, q}     z ← z/|z|,  then T times  z ← L2(softmax(τ z zᵀ) z)     τ = mean |u| / √d
    g ← g + out_proj(mean_z softmax(τ z zᵀ) v)                               no feed-forward layers

and g, which begins as x, goes through the head of the encoder. That is ``gem``, whose m is 6 (``depth`` 7 in its code)
and T 1. ``clip-surgery`` takes v alone, neither made unit nor refined, and τ = 1/√d. Whole images are read of the
trained stream, as :attr:`densevl.core.features.DenseFeatures.whole`.

Protocols: GEM resizes the position embedding with antialiasing (``positions="antialias"``) and CLIP Surgery bilinearly.
Where we differ: any batch; CLIP Surgery's code overwrites its position embedding by the resized one, so that an image
depends on the sizes that came before it, and ours does not.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from densevl.core.attention import LETTERS, is_residual, run_block
from densevl.core.errors import UsageError
from densevl.dense.contracts import Read, named
from densevl.encoders.contracts import NO_HEADS, Encoder, LastBlock, Needs

__all__ = ["StreamsReadout", "self_attend"]


@dataclass(frozen=True)
class StreamsReadout:
    """Read the last blocks by attention of like to like, in a stream of their own.

    Attributes:
        blocks: m, how many of the last blocks take part.
        sources: which of queries, keys and values are compared with themselves, by their letters.
        normalised: whether they are made unit first, with τ = mean |u| / √d of each image; 1/√d otherwise.
        iterations: T, how often they are refined by their own attention.
        temperature: τ, a number in the place of the rule; None for the rule.
    """

    blocks: int = 6
    sources: str = "vkq"
    normalised: bool = True
    iterations: int = 1
    temperature: int | float | None = None

    def __post_init__(self) -> None:
        letters = set(self.sources)
        if self.blocks < 1 or self.iterations < 0 or not letters or not letters <= set(LETTERS):
            raise UsageError(
                "streams take one block or more, iterations from 0 on, and sources of the letters v, k and q; "
                f"got {self.blocks}, {self.iterations} and {self.sources!r}"
            )
        if self.temperature is not None and not self.temperature > 0:
            raise UsageError(f"the temperature of streams is above 0, or null for the rule; got {self.temperature}")

    @property
    def needs(self) -> Needs:
        """What enters each of the blocks."""
        return Needs(states=tuple(range(-self.blocks, 0)))

    @property
    def name(self) -> str:
        """Its kind and settings."""
        return named("streams", self)

    def check(self, encoder: Encoder) -> None:
        """Raise a ``UsageError`` where the encoder has fewer blocks."""
        if self.blocks > encoder.depth:
            raise UsageError(
                f"streams run beside the last {self.blocks} blocks, and the image tower of {encoder.model_id!r} has "
                f"{encoder.depth}; set blocks to as many or fewer"
            )

    def __call__(self, last: LastBlock) -> Read:
        """Tokens of the second stream on the patch grid, and whole images of the first.

        Raises:
            UsageError: where a block has no attention, or one that pools.
        """
        stream = last.states[-self.blocks]
        for place in range(-self.blocks, 0):
            block = last.blocks[place]
            if not is_residual(block):
                raise UsageError(
                    "the last block of this image tower pools, and nothing is added to it; take readout=maskclip or "
                    "readout=naclip"
                )
            seen = block.norm_1(last.states[place])
            values, *parts = block.qkv(seen, "v" + self.sources)
            if values.shape[1] == 0:
                raise UsageError(NO_HEADS.format("values"))
            scale = self._scale(seen, values.shape[3])
            mixed = [self_attend(part, values, scale, self.normalised, self.iterations) for part in parts]
            stream = stream + block.out(torch.stack(mixed).mean(0))
        whole = None if last.pool is None else last.pool(run_block(last.block, last.tokens)["out"])
        return Read(last.on_grid(stream), whole=whole)

    def _scale(self, seen: Float[Tensor, "b n c"], width: int) -> Float[Tensor, "b 1 1 1"]:
        """τ of each image."""
        if self.temperature is not None:
            return seen.new_full((len(seen), 1, 1, 1), self.temperature)
        if self.normalised:
            return seen.norm(dim=2).mean(1)[:, None, None, None] * width**-0.5
        return seen.new_full((len(seen), 1, 1, 1), width**-0.5)


def self_attend(
    parts: Float[Tensor, "b heads n e"],
    values: Float[Tensor, "b heads n f"],
    scale: Float[Tensor, "b 1 1 1"],
    normalised: bool = True,
    iterations: int = 0,
) -> Float[Tensor, "b heads n f"]:
    """Attention of vectors to themselves: ``softmax(τ z zᵀ) v``.

    Args:
        parts: z of each token.
        values: what is gathered.
        scale: τ of each image.
        normalised: whether z is made unit, also after each refinement.
        iterations: how often ``z ← softmax(τ z zᵀ) z`` refines it before.
    """
    unit = (lambda one: F.normalize(one, dim=-1)) if normalised else (lambda one: one)
    parts = unit(parts)
    for _ in range(iterations):
        parts = unit(F.scaled_dot_product_attention(parts * scale, parts, parts, scale=1.0))
    return F.scaled_dot_product_attention(parts * scale, parts, values, scale=1.0)
