"""ResCLIP: NACLIP with the attention of middle blocks, and with what a first labelling says belongs together.

Source: Yang et al., ResCLIP: Residual Attention for Training-free Dense Vision-language Inference, CVPR 2025,
https://arxiv.org/abs/2411.15851; reference commit 0e085f7. With A_i the attention of block i in each head, ω the
likeness of places and k, v of the last block::

    R = mean of A_6 … A_9                                         residual cross-correlation self-attention
    B = softmax(k kᵀ / √d + ω)                                    first pass
    A = τ_r ((1 − λ_r) B + λ_r R)          x = out_proj(A v)      no residual, no feed-forward layers

The cosines of the first pass with the texts are brought to the pixels, refined by PAMR, and labelled; what is less sure
than the threshold is of the first class (the background where there is one). The most frequent label of each patch
makes F, the feedback of :func:`densevl.dense.operations.feedback.feedback_of_labels`, divided by its largest entry::

    B = softmax(τ_s ((1 − λ_s) k kᵀ / √d + λ_s F) + ω)            second pass, then A as above

Features belong to the vocabulary, which :attr:`ResCLIPReadout.needs` says. The published settings differ from one data
set to the next. Where we differ: the reference rounds F to float16 (4e-5 of the features), and its switch for R does
nothing; any batch and any grid.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from densevl.core.attention import is_residual
from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.core.geometry import Size
from densevl.dense.contracts import named
from densevl.dense.operations.clusters import majority
from densevl.dense.operations.feedback import feedback_of_labels
from densevl.dense.operations.places import token_bias
from densevl.dense.stages.pamr import PAMR
from densevl.encoders.contracts import Encoder, LastBlock, Needs

__all__ = ["ResCLIPReadout", "patch_labels"]

VALUES_AT_ONCE = 2**22
"""Scores of texts at pixels that are refined together: 16 MiB in float32."""


@dataclass(frozen=True)
class ResCLIPReadout:
    """Read the last block by keys and places, with the attention of earlier blocks and the feedback of labels.

    Attributes:
        blocks: whose attention is mixed in, counted from 1.
        residual: λ_r, the share of that attention, from 0 up to 1; 0 for none.
        residual_scale: τ_r, factor of the mixed attention.
        feedback: λ_s, the share of F, from 0 up to 1; 0 for none, and one pass.
        feedback_scale: τ_s, factor of the mixed likeness in the second pass.
        threshold: of the probabilities of the first pass.
        temperature: factor of the cosines in the first pass.
        sigma: of the Gaussian of places, in patches.
        steps: of PAMR in the first pass.
    """

    blocks: Sequence[int] = (6, 7, 8, 9)
    residual: int | float = 0.4
    residual_scale: int | float = 2.0
    feedback: int | float = 0.7
    feedback_scale: int | float = 1.8
    threshold: int | float = 0.25
    temperature: int | float = 40.0
    sigma: int | float = 5.0
    steps: int = 10

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", tuple(self.blocks))
        if not self.blocks or min(self.blocks) < 1 or not 0 <= self.residual <= 1 or not 0 <= self.feedback <= 1:
            raise UsageError(
                "resclip takes blocks counted from 1, and shares between 0 and 1; "
                f"got {list(self.blocks)}, {self.residual} and {self.feedback}"
            )

    @property
    def needs(self) -> Needs:
        """What enters the blocks whose attention is read; texts and images for the feedback."""
        states = tuple(block - 1 for block in self.blocks) if self.residual else ()
        return Needs(texts=self.feedback > 0, images=self.feedback > 0, states=states)

    @property
    def name(self) -> str:
        """Its kind and settings."""
        return named("resclip", self)

    def check(self, encoder: Encoder) -> None:
        """Raise a ``UsageError`` where the encoder has fewer blocks."""
        if self.residual and max(self.blocks) > encoder.depth:
            raise UsageError(
                f"resclip reads the attention of block {max(self.blocks)}, and the image tower of {encoder.model_id!r} "
                f"has {encoder.depth}; name others in its setting blocks"
            )

    def __call__(self, last: LastBlock) -> Float[Tensor, "b c h w"]:
        """Tokens of the block on the patch grid.

        Raises:
            UsageError: where the last block pools, or there are no texts or images.
        """
        if not is_residual(last.block):
            raise UsageError("the last block of this image tower pools; take readout=naclip")
        keys, values = last.block.qkv(last.block.norm_1(last.tokens), "kv")
        places = token_bias(last.grid, last.prefix, self.sigma, keys)
        crossed = self._crossed(last, values) if self.residual else None
        tokens = self._mixed(last, F.scaled_dot_product_attention(keys, keys, values, attn_mask=places), crossed)
        if not self.feedback:
            return tokens
        if last.texts is None or last.images is None or last.to_joint is None:
            raise UsageError("resclip reads images and texts for its feedback, and was given none; set feedback to 0")
        joint = last.to_joint(tokens.flatten(2).mT).mT.unflatten(2, last.grid)
        labels = [self._labels(*one, last.texts) for one in zip(joint, last.images, strict=True)]
        alike = feedback_of_labels(torch.stack(labels))
        alike = F.pad(alike / alike.amax((1, 2), keepdim=True), (last.prefix, 0, last.prefix, 0))
        bias = (self.feedback_scale * self.feedback * alike).to(keys)[:, None] + places
        scale = self.feedback_scale * (1 - self.feedback) * keys.shape[3] ** -0.5
        again = F.scaled_dot_product_attention(keys, keys, values, attn_mask=bias, scale=scale)
        return self._mixed(last, again, crossed)

    def _crossed(self, last: LastBlock, values: Float[Tensor, "b heads n e"]) -> Float[Tensor, "b heads n e"]:
        """``R v``."""
        gathered = torch.zeros_like(values)
        for place in self.blocks:
            block = last.blocks[place - 1]
            queries, keys = block.qkv(block.norm_1(last.states[place - 1]), "qk")
            gathered += F.scaled_dot_product_attention(queries, keys, values)
        return gathered / len(self.blocks)

    def _mixed(
        self, last: LastBlock, values: Float[Tensor, "b heads n e"], crossed: Float[Tensor, "b heads n e"] | None
    ) -> Float[Tensor, "b c h w"]:
        """Tokens of ``A v``, from ``B v`` and ``R v``."""
        if crossed is not None:
            values = self.residual_scale * ((1 - self.residual) * values + self.residual * crossed)
        return last.behind(values, residual=False, mlp=False)

    def _labels(
        self, grid: Float[Tensor, "d h w"], image: Float[Tensor, "3 H W"], texts: TextEmbeddings
    ) -> Int64[Tensor, "h w"]:
        return patch_labels(grid, image, texts, self.threshold, self.temperature, self.steps)


def patch_labels(
    grid: Float[Tensor, "d h w"],
    image: Float[Tensor, "3 H W"],
    texts: TextEmbeddings,
    threshold: float,
    temperature: float,
    steps: int = 10,
) -> Int64[Tensor, "h w"]:
    """The most frequent label of the pixels of each patch, by cosines that PAMR has refined at the pixels.

    Args:
        grid: features of the patches, not normalised, which cover the image evenly.
        image: RGB in [0, 1].
        texts: the vocabulary.
        threshold: pixels whose best query is less probable are of the background, or of the first class.
        temperature: factor of the cosines.
        steps: of PAMR.
    """
    height, width = size = (image.shape[1], image.shape[2])
    units, vectors = F.normalize(grid.float(), dim=0), texts.vectors.to(grid.device, torch.float32)
    owners = texts.query_classes.to(grid.device)
    refine, image = PAMR(steps), image.float()
    best, total = (torch.full(size, -torch.inf, device=grid.device) for _ in range(2))
    labels = torch.zeros(size, dtype=torch.int64, device=grid.device)
    at_once = max(1, VALUES_AT_ONCE // (height * width))
    for some, classes in zip(vectors.split(at_once), owners.split(at_once), strict=True):
        cosines = torch.einsum("qd,dhw->qhw", some, units)[None]
        logits = refine(F.interpolate(cosines, size, mode="bilinear", align_corners=False)[0], image) * temperature
        highest, winner = logits.max(0)
        labels = torch.where(highest > best, classes[winner], labels)
        best, total = torch.maximum(best, highest), torch.logaddexp(total, logits.logsumexp(0))
    labels[(best - total).exp() < threshold] = texts.vocabulary.background or 0
    return _most(labels, (grid.shape[1], grid.shape[2]))


def _most(labels: Int64[Tensor, "H W"], grid: Size) -> Int64[Tensor, "h w"]:
    """The most frequent label of the pixels of each cell; a pixel is of the cell that its middle lies in."""
    down, across = (
        (2 * torch.arange(side, device=labels.device) + 1) * cells // (2 * side)
        for side, cells in zip(labels.shape, grid, strict=True)
    )
    cells = down[:, None] * grid[1] + across
    found = majority(labels, cells)
    result = labels.new_zeros(grid[0] * grid[1])
    result[cells.flatten()] = found.flatten()
    return result.view(grid)
