"""FreeCP: classes that an image does not show are dropped, and of those that claim one place a look at it decides.

Source: Chen et al., Training-Free Class Purification for Open-Vocabulary Semantic Segmentation, ICCV 2025,
https://arxiv.org/abs/2508.00557; reference code chenqi1126/FreeCP at commit a15f1c9. With p_c the probabilities of a
class at the patches of a window, and Ā the attention among patches, the mean of all blocks but the last::

    T = Ā, its columns and rows made to sum to 1 three times, in turn;    T ← (T + Tᵀ) / 2;    T ← T T
    m_c = p_c, all classes together brought to [0, 1]                     b_c = boxes around its parts above 0.4
    a_c = T (b_c · m_c), brought to [0, 1]
    dropped:  Σ p_c a_c / (Σ p_c + Σ a_c) ≤ rp                            redundant
    grouped:  Σ min(a_c, a_c') / Σ max(a_c, a_c') ≥ ap                    ambiguous

Of each group, the boxes around the parts of its mean map above 0.4 are cut out of the window, enlarged to 112 pixels,
and embedded as whole images; the classes that win a box stay, the others are dropped. The scores are a_c of what stays
and 0 of what does not; the background is 1 − the largest of them, that is, it wins below 0.5.

Where we differ: the reference code decides boxes by class descriptions of a language model, and knows synonyms of the
background alone; here the classes' own texts decide, and a class is as probable as its best query. As in that code, a
box ends before the last row and column of patches, and with GEM the attention is that of the first head.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from densevl.core.attention import run_block
from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures, TextEmbeddings
from densevl.dense.contracts import Look, named
from densevl.dense.operations.clusters import blobs, components
from densevl.encoders.contracts import LastBlock, Needs

__all__ = ["Purification", "boxes_of", "inner_affinity", "purify"]

PART = 0.4
"""Of the largest value of a map: what is above it belongs to a part."""

CROP = 112
"""Side in pixels of what is cut out."""

CROPS_AT_ONCE = 32

EPSILON = 1e-8


@dataclass(frozen=True)
class Purification:
    """Class purification as a stage of a segmentor.

    Attributes:
        redundant: rp, a class at or below is dropped; 0.05 to 0.15 as published.
        ambiguous: ap, classes at or above are of one group; 0.7 or 0.8 as published.
        head: of the attention, from 0 on; None for the mean of all.
    """

    redundant: int | float = 0.1
    ambiguous: int | float = 0.7
    head: int | None = 0

    needs = Needs(images=True, texts=True, encoder=True)
    acts_on = "probabilities"

    def __post_init__(self) -> None:
        if not 0 <= self.redundant < 0.5 or not 0 < self.ambiguous <= 1:
            raise UsageError(
                "freecp takes redundant from 0 up to below 0.5 and ambiguous above 0 up to 1; "
                f"got {self.redundant} and {self.ambiguous}"
            )

    @property
    def name(self) -> str:
        """Its kind and settings."""
        return named("freecp", self)

    def __call__(
        self,
        probabilities: Float[Tensor, "n k h w"],
        features: DenseFeatures,
        images: Float[Tensor, "n 3 H W"],
        texts: TextEmbeddings,
        encoder: Look,
    ) -> Float[Tensor, "n k h w"]:
        """Scores of the classes that stay, which do not sum to 1, and 0 of the others.

        Raises:
            UsageError: where the scores do not lie on the patch grid of the encoder, or it has no attention.
        """
        background = texts.vocabulary.background
        shown = [c for c in range(probabilities.shape[1]) if c != background]
        if len(shown) < 2 and background is None:
            return probabilities  # nothing to choose from
        states = tuple(range(encoder.encoder.depth - 1))
        scores = []
        for before, image in zip(probabilities.float(), images, strict=True):
            last = encoder.last_block(image[None], Needs(states=states))
            if last.grid != before.shape[1:]:
                raise UsageError(
                    f"freecp needs scores on the patches of the encoder, {last.grid[0]}×{last.grid[1]}, and the head "
                    f"gives {before.shape[1]}×{before.shape[2]}; take one that keeps them, such as gem"
                )
            spread = before.max() - before.min()
            if spread == 0:
                scores.append(before)  # an image in which nothing is told apart
                continue
            maps = (before - before.min()) / spread
            after, keep = purify(before[shown], maps[shown], inner_affinity(last, self.head), self.redundant)
            dropped = ~keep
            for group in _groups(after, keep, self.ambiguous):
                members = [shown[c] for c in group.tolist()]
                dropped[group] = ~_winners(after[group].mean(0), image, texts, members, encoder).to(keep.device)
            of_classes = list(after.masked_fill(dropped[:, None, None], 0))
            if background is not None:
                of_classes.insert(background, torch.full_like(before[0], 0.5 if texts.threshold is None else 0.0))
            scores.append(torch.stack(of_classes))
        return torch.stack(scores).to(probabilities.dtype)


def purify(
    before: Float32[Tensor, "k h w"],
    maps: Float32[Tensor, "k h w"],
    affinity: Float32[Tensor, "n n"],
    redundant: float,
) -> tuple[Float32[Tensor, "k h w"], Bool[Tensor, " k"]]:
    """Maps refined by affinity, and whether each class is shown.

    Args:
        before: probabilities p of the classes.
        maps: m, the same in [0, 1].
        affinity: T.
        redundant: rp.
    """
    boxes, owners = boxes_of(maps)
    inside = torch.zeros_like(maps).index_add_(0, owners, _filled(boxes, maps)) > 0
    after = ((maps * inside).flatten(1) @ affinity.mT).view_as(maps)
    lowest = after.amin((1, 2), keepdim=True)
    after = (after - lowest) / (after.amax((1, 2), keepdim=True) - lowest + EPSILON)
    agreement = (before * after).sum((1, 2)) / (before.sum((1, 2)) + after.sum((1, 2)) + EPSILON)
    return after, agreement > redundant


def inner_affinity(last: LastBlock, head: int | None = 0) -> Float32[Tensor, "n n"]:
    """T: the attention among the patches of one image, the mean of all blocks but the last, made doubly stochastic.

    Args:
        last: the last block, with the states before all others.
        head: of the attention, from 0 on; None for the mean of all.

    Raises:
        UsageError: where a block has no such head.
    """
    total: Tensor | None = None
    for place, block in enumerate(last.blocks[:-1]):
        queries, keys = block.qkv(block.norm_1(last.states[place]), "qk")
        if queries.shape[1] <= (head or 0):
            raise UsageError(f"freecp reads attention head {head or 0}, and a block has {queries.shape[1]}")
        if head is not None:
            queries, keys = queries[:, head : head + 1], keys[:, head : head + 1]
        attention = (queries @ keys.mT * queries.shape[3] ** -0.5).softmax(-1)[0].mean(0).float()
        total = attention if total is None else total + attention
    if total is None:
        raise UsageError("freecp reads the attention of all blocks but the last, and this image tower has one")
    total = total[last.prefix :, last.prefix :]
    for _ in range(3):
        total = total / total.sum(0, keepdim=True)
        total = total / total.sum(1, keepdim=True)
    total = (total + total.mT) / 2
    return total @ total


def boxes_of(maps: Float[Tensor, "k h w"]) -> tuple[Int64[Tensor, "m 4"], Int64[Tensor, " m"]]:
    """Boxes around the connected parts of maps in [0, 1], x0, y0, x1, y1 in cells, and the map of each.

    A part is what lies above 0.4 of the largest value, both rounded down to whole 255ths. A box is half-open, and ends
    before the last row and the last column.
    """
    _, height, width = maps.shape
    bytes_ = (maps * 255).floor()
    limits = (PART * bytes_.amax((1, 2), keepdim=True)).floor()
    parts = blobs(bytes_ > limits)
    owner, y, x = (parts >= 0).nonzero(as_tuple=True)
    keys, member = (owner * (height * width) + parts[owner, y, x]).unique(return_inverse=True)
    corners = []
    for places, last in ((x, width - 1), (y, height - 1)):
        lowest = places.new_full((len(keys),), last).scatter_reduce(0, member, places, "amin")
        highest = places.new_zeros(len(keys)).scatter_reduce(0, member, places + 1, "amax")
        corners.append((lowest, highest.clamp(max=last)))
    (left, right), (top, bottom) = corners
    return torch.stack([left, top, right, bottom], dim=1), keys.div(height * width, rounding_mode="floor")


def _filled(boxes: Int64[Tensor, "m 4"], like: Float[Tensor, "k h w"]) -> Float[Tensor, "m h w"]:
    """1 inside of each box."""
    rows, columns = (torch.arange(side, device=like.device) for side in like.shape[1:])
    left, top, right, bottom = boxes.mT[..., None]
    inside = ((rows >= top) & (rows < bottom))[:, :, None] & ((columns >= left) & (columns < right))[:, None]
    return inside.to(like)


def _groups(after: Float32[Tensor, "k h w"], keep: Bool[Tensor, " k"], ambiguous: float) -> list[Int64[Tensor, " g"]]:
    """Classes whose maps cover each other, in groups of two or more."""
    classes = keep.nonzero()[:, 0]
    flat = after[classes].flatten(1)
    sums = flat.sum(1)
    both = torch.stack([torch.minimum(one, flat).sum(1) for one in flat]) if len(flat) else flat.new_zeros(0, 0)
    union = sums[:, None] + sums - both
    found = components(both >= ambiguous * union)
    return [group for first in found.unique() if len(group := classes[found == first]) > 1]


def _winners(
    mean: Float32[Tensor, "h w"],
    image: Float[Tensor, "3 H W"],
    texts: TextEmbeddings,
    classes: Sequence[int],
    encoder: Look,
) -> Bool[Tensor, " g"]:
    """Which classes of a group win a box; all where a box is empty."""
    boxes, _ = boxes_of(mean[None])
    patch = encoder.encoder.patch_size
    crops = [image[:, y0 * patch : y1 * patch, x0 * patch : x1 * patch] for x0, y0, x1, y1 in boxes.tolist()]
    whole = [crop for crop in crops if 0 not in crop.shape]
    wins = torch.full((len(classes),), len(whole) < len(crops) or not whole)
    if whole:
        enlarged = [F.interpolate(crop[None], (CROP, CROP), mode="bilinear", align_corners=False) for crop in whole]
        scores = _class_scores(torch.cat(enlarged), texts, classes, encoder)
        wins[scores.argmax(1).cpu()] = True
    return wins


def _class_scores(
    images: Float[Tensor, "m 3 H W"], texts: TextEmbeddings, classes: Sequence[int], encoder: Look
) -> Float32[Tensor, "m g"]:
    """The largest cosine of the texts of each class with whole images."""
    vectors = []
    for some in images.split(CROPS_AT_ONCE):
        last = encoder.last_block(some)
        if last.pool is None:
            raise UsageError("freecp looks at parts as whole images, which this encoder does not embed")
        vectors.append(F.normalize(last.pool(run_block(last.block, last.tokens)["out"]).float(), dim=1))
    cosines = torch.cat(vectors) @ texts.vectors.to(vectors[0]).mT
    owners = texts.query_classes.to(cosines.device)
    return torch.stack([cosines[:, owners == c].amax(1) for c in classes], dim=1)
