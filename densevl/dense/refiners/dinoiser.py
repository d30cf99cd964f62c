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

Heads may refine onto a finer grid than the encoder's (``sub_patch``; ours, not in the paper). P is then bilinear
between the patches, and what two small convolutions of the pixels see is added to it::

    P = normalise(upsample(obj_proj(g)) + stem(image))        on sub-patches
    F_p = Σ_q A_pq f_q / (Σ_q A_pq + 1e-6)                     f_q that of the patch which q is a part of

so outlines lie where the pixels have them, and the encoder still runs once. Published heads have no such stem.

Where we differ: the reference does the last step for one image and class 0, here for any batch and any background
class; γ = 0 drops negative affinities, where the reference keeps them; the matrix A is held a few rows at a time where
it is large, or as a list of the pairs within radius. Affinities and means are float32 whatever the dtype of the model.
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from torch import Tensor, nn

from densevl.core.delta import before_tuning
from densevl.core.errors import UsageError, WeightsError
from densevl.core.features import DenseFeatures
from densevl.dense.refiners.affinity import pair_cosines, pool_by_cosine
from densevl.dense.refiners.sub_patches import on_sub_patches, whole_patches
from densevl.encoders.contracts import Encoder, Needs

__all__ = ["DinoiserRefiner", "mark_background"]

TAPPED = "blocks.-3.ln_2"
"""The map that the published heads read."""

STEM_CHANNELS = 64
"""Channels between the two convolutions that read the pixels of sub-patches."""


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
    is_background = torch.arange(probabilities.shape[1], device=probabilities.device) == background
    return torch.where(marked[:, None] & is_background[:, None, None], 1.0, probabilities)


class DinoiserRefiner(nn.Module):
    """The two heads of CLIP-DINOiser on a frozen encoder.

    Args:
        width: channels of the map that the heads read: the width of the encoder.
        inner: channels that affinities are computed from.
        layer: name of the map that the heads read, as :meth:`densevl.encoders.clip.CLIPEncoder.dense` names it.
        gamma: affinities below this count as 0; from 0 up to 1.
        radius: patches farther apart than this, in patches of the refined grid, count as unlike; None, as published,
            for no limit.
        rounds: how many times the features are pooled; 1 as published.
        sub_patch: side in pixels of the sub-patches that features are refined onto, a part of the encoder's patches;
            None, as published, for the patches themselves.
        encoder_id: identity of the encoder that the heads were trained on, or of its architecture alone (what stands
            before the ``@``); None where it is not known.
        name: what reports call the heads: their kind and weights.

    Attributes:
        finds_foreground: it does.

    Raises:
        UsageError: where a number is out of range.
    """

    finds_foreground = True

    def __init__(
        self,
        width: int = 768,
        inner: int = 256,
        layer: str = TAPPED,
        gamma: float = 0.2,
        encoder_id: str | None = None,
        name: str = "dinoiser",
        radius: int | float | None = None,
        rounds: int = 1,
        sub_patch: int | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= gamma < 1:
            raise UsageError(f"gamma is the least cosine that counts, from 0 up to 1; got {gamma}")
        if rounds < 1 or (radius is not None and radius < 0):
            raise UsageError(
                f"features are pooled once or more, within a radius of 0 or more; got {rounds} and {radius}"
            )
        if sub_patch is not None and sub_patch < 1:
            raise UsageError(f"sub_patch is the side of sub-patches in pixels, 1 or more; got {sub_patch}")
        self.radius, self.rounds, self.sub_patch = radius, rounds, sub_patch
        self.width, self.layer, self.gamma, self.encoder_id = width, layer, gamma, encoder_id
        within = "" if radius is None else f", radius {radius:g}"
        often = f", {rounds} rounds" if rounds > 1 else ""
        self.name = f"{name}, gamma {gamma:g}{within}{often}" + (f", sub-patches of {sub_patch}" if sub_patch else "")
        self.obj_proj = nn.Conv2d(width, inner, 3, padding=1, padding_mode="replicate")
        self.bkg_decoder = nn.Conv2d(width, 1, 1)
        self.stem: nn.Sequential | None = None
        if sub_patch is not None:
            pixels = nn.Conv2d(3, STEM_CHANNELS, sub_patch, stride=sub_patch)
            self.stem = nn.Sequential(pixels, nn.GELU(), nn.Conv2d(STEM_CHANNELS, inner, 3, padding=1))

    @property
    def needs(self) -> Needs:
        """The map that the heads read, and the images where they refine onto sub-patches."""
        return Needs(maps=(self.layer,), images=self.stem is not None)

    def check(self, encoder: Encoder) -> None:
        """Refuse an encoder that the heads were not made for.

        Raises:
            WeightsError: where it is another one, with the names of both.
            UsageError: where its patches cannot be cut into these sub-patches.
        """
        self._check(encoder.model_id, encoder.width)
        self._factor(encoder.patch_size)

    def _check(self, model_id: str, width: int) -> None:
        encoder = before_tuning(model_id)
        known = (None, encoder, encoder.partition("@")[0])
        if width != self.width or self.encoder_id not in known:
            raise WeightsError(
                f"the heads {self.name} were made for {self.encoder_id or 'an encoder'} of width {self.width}, and the "
                f"encoder is {model_id} of width {width}; take the heads of this encoder, the encoder of these heads, "
                "or a model without heads, such as maskclip"
            )

    def _factor(self, patch_size: int) -> int:
        """Sub-patches along a side of a patch."""
        side = self.sub_patch or patch_size
        if patch_size % side:
            raise UsageError(
                f"the heads {self.name} cut patches into sub-patches of {side} pixels, which patches of {patch_size} "
                "cannot be; take heads with a side that divides it"
            )
        return patch_size // side

    def descriptors(
        self, tapped: Float[Tensor, "b c h w"], images: Float[Tensor, "b 3 H W"] | None = None
    ) -> Float[Tensor, "b e h2 w2"]:
        """The vectors whose cosines are the affinities, not normalised, on sub-patches if any, else on patches.

        Args:
            tapped: the encoder's map.
            images: RGB in [0, 1], continued in black to whole patches; read where there are sub-patches alone.

        Raises:
            UsageError: where there are sub-patches and no images.
        """
        projected = self.obj_proj(tapped)
        if self.stem is None:
            return projected
        if images is None:
            raise UsageError("heads with sub-patches read the images, too; none were given")
        # From -0.5 to 0.5, so that brightness does not drown colour in the first weights.
        seen = self.stem(images.to(tapped) - 0.5)
        return seen + F.interpolate(projected, seen.shape[2:], mode="bilinear", align_corners=False)

    def affinity(
        self,
        tapped: Float[Tensor, "b c h w"],
        images: Float[Tensor, "b 3 H W"] | None = None,
        radius: int | float | None = None,
    ) -> Float32[Tensor, "b n k"]:
        """Cosines of all pairs of patches, in reading order and before the threshold.

        Args:
            tapped: the encoder's map.
            images: RGB in [0, 1], continued in black to whole patches; read where there are sub-patches alone.
            radius: of the pairs, in patches of the map; None for all pairs.
        """
        return pair_cosines(self.descriptors(tapped, images), radius)

    def foreground(self, tapped: Float[Tensor, "b c h w"]) -> Float[Tensor, "b h w"]:
        """Logit of each patch showing a thing rather than background."""
        return self.bkg_decoder(F.normalize(tapped, dim=1))[:, 0]

    def forward(self, features: DenseFeatures, images: Float[Tensor, "b 3 H W"] | None = None) -> DenseFeatures:
        """Pool the features by affinity and add the foreground logits.

        Args:
            features: of the encoder.
            images: behind the features, RGB in [0, 1]; read where there are sub-patches alone.

        Raises:
            UsageError: where the encoder did not return the map that the heads read, or the images are missing.
            WeightsError: where the heads were made for another encoder.
        """
        tapped = features.maps.get(self.layer)
        if tapped is None:
            raise UsageError(
                f"the heads read {self.layer}, which the features do not hold; "
                f"ask the encoder for it: maps=({self.layer!r},)"
            )
        self._check(features.model_id, tapped.shape[1])
        padded = None if images is None else whole_patches(images, features.patch_size)
        foreground, descriptors = self.foreground(tapped), self.descriptors(tapped, padded)
        finer = on_sub_patches(replace(features, foreground=foreground), self._factor(features.patch_size))
        grid = pool_by_cosine(finer.grid, descriptors, self.gamma, self.radius, self.rounds)
        refined = replace(finer, grid=grid.to(features.grid))
        return refined if images is None else refined.inside((images.shape[2], images.shape[3]))
