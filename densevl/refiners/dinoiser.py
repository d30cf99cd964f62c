"""CLIP-DINOiser: features averaged over the patches of the same thing, and a head that tells things from background.

Source: Wysoczańska et al., CLIP-DINOiser: Teaching CLIP a few DINO tricks for open-vocabulary semantic segmentation,
ECCV 2024, https://arxiv.org/abs/2312.12359; reference code wysoczanska/clip_dinoiser at commit a954aae. With f the
features of MaskCLIP and g what ``ln_2`` of the third-last block puts out, both on the patch grid::

    P = normalise(obj_proj(g)),  A = Pᵀ P          affinity of patches: cosines of a 3x3 convolution of g
    A_pq = 0 where A_pq < γ                        γ = 0.2
    F_p = Σ_q A_pq f_q / (Σ_q A_pq + 1e-6)         f not normalised
    s = bkg_decoder(normalise(g))                  logit of a thing; a 1x1 convolution

and where the mode ``head`` asks for a background: patches whose best probability is below δ = 0.99 and with
sigmoid(s) ≤ 0.5 get probability 1 for the background class, the other classes keeping theirs (so that one window's
certainty counts in full where windows overlap).

Where we differ: the reference does the last step for one image and class 0, here for any batch and any background
class; γ = 0 drops negative affinities, where the reference keeps them; the matrix A is held a few rows at a time where
it is large. Affinities and means are float32 whatever the dtype of the model.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32
from torch import Tensor, nn

from densevl.errors import UsageError, WeightsError
from densevl.structures import DenseFeatures

__all__ = ["DinoiserRefiner", "mark_background", "pool_by_affinity", "pool_by_cosine", "within_reach"]

TAPPED = "blocks.-3.ln_2"
"""The map that the published heads read."""

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
    """:func:`pool_by_affinity` with the cosines of descriptors as affinities, a few rows of them at a time.

    Args:
        features: on the patch grid, not normalised.
        descriptors: what tells whether two patches are alike, on the same grid, not normalised.
        threshold: cosines below this count as 0.
        reach: cosines of patches whose centres are farther apart than this, in patches, count as 0; None for no limit.
        rounds: how many times in a row.
    """
    flat, units = features.float().flatten(2), F.normalize(descriptors.float().flatten(2), dim=1)
    rows = max(1, AFFINITIES_AT_ONCE // (units.shape[0] * units.shape[2]))
    for _ in range(rounds):
        pooled = []
        for start in range(0, units.shape[2], rows):
            affinity = units[:, :, start : start + rows].mT @ units
            if reach is not None:
                near = within_reach(features.shape[2:], reach, slice(start, start + rows)).to(affinity.device)
                affinity.masked_fill_(~near, 0)
            pooled.append(_pool(flat, affinity, threshold))
        flat = torch.cat(pooled, dim=2)
    return flat.unflatten(2, features.shape[2:])


def within_reach(grid: Sequence[int], reach: int | float, rows: slice = slice(None)) -> Bool[Tensor, "m n"]:
    """Whether the centres of two patches lie within so many patches of each other, in reading order.

    Args:
        grid: patches (down, right).
        reach: greatest distance.
        rows: which of the n patches to compare with all.
    """
    places = torch.cartesian_prod(*(torch.arange(float(side)) for side in grid))
    return torch.cdist(places[rows], places, compute_mode="donot_use_mm_for_euclid_dist") <= reach


def _pool(flat: Float[Tensor, "b d n"], affinity: Float[Tensor, "b m n"], threshold: float) -> Float[Tensor, "b d m"]:
    weights = affinity.masked_fill(affinity < threshold, 0)
    return (flat @ weights.mT).div_(weights.sum(2)[:, None] + EPSILON)


def mark_background(
    probabilities: Float[Tensor, "n k h w"], foreground: Float[Tensor, "n h w"], background: int, delta: float
) -> Float[Tensor, "n k h w"]:
    """Give the background class probability 1 where no class is certain and the patch shows no thing.

    The other classes keep their probabilities, as in the reference code; a patch that is marked sums to more than 1.

    Args:
        probabilities: of each class at each patch.
        foreground: logit of each patch showing a thing.
        background: index of the background class.
        delta: a class is certain from this probability on.
    """
    # Not foreground <= 0: in float32 a logit below 6e-8 still has the sigmoid 0.5, and counts as background.
    marked = (probabilities.amax(dim=1) < delta) & (foreground.float().sigmoid() <= 0.5)
    result = probabilities.clone()
    result[:, background].masked_fill_(marked, 1)
    return result


class DinoiserRefiner(nn.Module):
    """The two heads of CLIP-DINOiser on a frozen encoder.

    Args:
        width: channels of the map that the heads read: the width of the encoder.
        inner: channels that affinities are computed from.
        layer: name of the map that the heads read, as :meth:`densevl.encoders.CLIPEncoder.dense` names it.
        gamma: affinities below this count as 0; from 0 up to 1.
        reach: patches farther apart than this, in patches, count as unlike; None, as published, for no limit.
        rounds: how many times the features are pooled; 1 as published.
        encoder_id: identity of the encoder that the heads were trained on, or of its architecture alone (what stands
            before the ``@``); None where it is not known.
        name: what reports call the heads: their kind and weights.

    Attributes:
        intermediates: maps of the encoder that it reads.
        wants_images: it does not.
        finds_foreground: it does.

    Raises:
        UsageError: where gamma is out of range.
    """

    wants_images = False
    finds_foreground = True

    def __init__(
        self,
        width: int = 768,
        inner: int = 256,
        layer: str = TAPPED,
        gamma: float = 0.2,
        encoder_id: str | None = None,
        name: str = "dinoiser",
        reach: int | float | None = None,
        rounds: int = 1,
    ) -> None:
        super().__init__()
        if not 0 <= gamma < 1:
            raise UsageError(f"gamma is the least cosine that counts, from 0 up to 1; got {gamma}")
        if rounds < 1 or (reach is not None and reach < 0):
            raise UsageError(f"features are pooled once or more, within a reach of 0 or more; got {rounds} and {reach}")
        self.reach, self.rounds = reach, rounds
        self.width, self.layer, self.gamma, self.encoder_id = width, layer, gamma, encoder_id
        within = "" if reach is None else f", reach {reach:g}"
        self.name = f"{name}, gamma {gamma:g}{within}" + (f", {rounds} rounds" if rounds > 1 else "")
        self.intermediates: Sequence[str] = (layer,)
        self.obj_proj = nn.Conv2d(width, inner, 3, padding=1, padding_mode="replicate")
        self.bkg_decoder = nn.Conv2d(width, 1, 1)

    def check(self, encoder: Any) -> None:
        """Refuse an encoder that the heads were not made for.

        Raises:
            WeightsError: where it is another one, with the names of both.
        """
        self._check(encoder.model_id, encoder.width)

    def _check(self, model_id: str, width: int) -> None:
        known = (None, model_id, model_id.partition("@")[0])
        if width != self.width or self.encoder_id not in known:
            raise WeightsError(
                f"the heads {self.name} were made for {self.encoder_id or 'an encoder'} of width {self.width}, and the "
                f"encoder is {model_id} of width {width}; take the heads of this encoder, the encoder of these heads, "
                "or a model without heads, such as maskclip"
            )

    def descriptors(self, tapped: Float[Tensor, "b c h w"]) -> Float[Tensor, "b e h w"]:
        """What affinities are cosines of, not normalised."""
        return self.obj_proj(tapped)

    def affinity(self, tapped: Float[Tensor, "b c h w"]) -> Float32[Tensor, "b n n"]:
        """Cosines of all pairs of patches, in reading order and before the threshold."""
        units = F.normalize(self.descriptors(tapped).float().flatten(2), dim=1)
        return units.mT @ units

    def foreground(self, tapped: Float[Tensor, "b c h w"]) -> Float[Tensor, "b h w"]:
        """Logit of each patch showing a thing rather than background."""
        return self.bkg_decoder(F.normalize(tapped, dim=1))[:, 0]

    def forward(self, features: DenseFeatures) -> DenseFeatures:
        """Pool the features by affinity and add the foreground logits.

        Raises:
            UsageError: where the encoder did not return the map that the heads read.
            WeightsError: where the heads were made for another encoder.
        """
        tapped = features.intermediates.get(self.layer)
        if tapped is None:
            raise UsageError(
                f"the heads read {self.layer}, which the features do not hold; "
                f"ask the encoder for it: intermediates=[{self.layer!r}]"
            )
        self._check(features.model_id, tapped.shape[1])
        grid = pool_by_cosine(features.grid, self.descriptors(tapped), self.gamma, self.reach, self.rounds)
        return replace(features, grid=grid.to(features.grid), foreground=self.foreground(tapped))
