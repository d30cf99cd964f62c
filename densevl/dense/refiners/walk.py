"""A teacher without any label: a random walk over the patches of an image shows which of them belong together.

The walk goes from a patch to itself or one of its eight neighbours, the sooner the more alike they are in a map g of
the encoder and, if wanted, in their mean colours c (Meila & Shi, A Random Walks View of Spectral Segmentation,
AISTATS 2001)::

    W_pq = exp(-((1 - cos(g_p, g_q)) / σ)²) · exp(-(|c_p - c_q| / κ)²)    of neighbours, else 0
    P    = W / its row sums,   D = P^t
    A_pq = cos(D_p, D_q)                        walks from p and q end in the same places

A patch shows a thing where long walks from it seldom end at the border of the image, measured by what fraction of all
places the border has (boundary prior: Wei et al., Geodesic Saliency Using Background Priors, ECCV 2012).

The walk separates two patches of one colour with a line between them; a comparison of the two alone cannot. On
sub-patches, where there are many, D is known by ``marks`` random numbers for each place instead of one column for each:
D R, whose cosines are those of D but for noise of about 1 / √marks (Johnson & Lindenstrauss).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32
from torch import Tensor, nn

from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures
from densevl.core.registry import build
from densevl.dense.refiners.affinity import pair_cosines, pairs_within, pool_by_cosine, pool_pairs
from densevl.dense.refiners.sub_patches import on_sub_patches, whole_patches
from densevl.dense.refiners.teachers import read_at_patches
from densevl.encoders import ENCODERS
from densevl.encoders.clip import CLIPEncoder
from densevl.encoders.contracts import Encoder, Needs

__all__ = ["WalkTeacher", "border_share", "colours", "ends_of_walks", "transitions"]

NEIGHBOUR = 1.5
"""Reach of a step in patches: the eight neighbours."""

LUMA = (0.299, 0.587, 0.114)
BLUE, RED = (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312)
"""YCbCr of JPEG (ITU-T T.871); brightness counts half, since light and shade change it within a thing."""


def colours(images: Float[Tensor, "b 3 H W"], side: int) -> Float[Tensor, "b 3 h w"]:
    """Mean colours of patches: half the brightness, blue and red difference.

    Args:
        images: RGB in [0, 1].
        side: of a patch in pixels.
    """
    weights = torch.tensor([LUMA, BLUE, RED]) * torch.tensor([0.5, 1.0, 1.0])[:, None]
    return torch.einsum("ij,bjhw->bihw", weights.to(images), F.avg_pool2d(images, side))


def transitions(
    tapped: Float[Tensor, "b c h w"],
    scale: float,
    colour: Float[Tensor, "b 3 h w"] | None = None,
    colour_scale: float = 1.0,
) -> Float32[Tensor, "b n k"]:
    """Probabilities of one step from each patch to each of its partners, as :func:`pairs_within` lists them.

    Args:
        tapped: the map whose cosines tell how alike neighbours are.
        scale: σ, in cosine.
        colour: of the patches; None where colours do not count.
        colour_scale: κ, in the unit of the colours.
    """
    exponents = ((1 - pair_cosines(tapped, NEIGHBOUR)) / scale) ** 2
    index, inside = pairs_within(tapped.shape[2:], NEIGHBOUR, tapped.device)
    if colour is not None:
        flat = colour.float().flatten(2)
        apart = (flat[:, :, :, None] - flat[:, :, index]).square().sum(1)
        exponents = exponents + apart / colour_scale**2
    weights = (-exponents).exp() * inside
    return weights / weights.sum(dim=2, keepdim=True)


def ends_of_walks(
    steps: Float[Tensor, "b n k"], grid: Sequence[int], count: int, marks: int | None = None
) -> Float32[Tensor, "b m h w"]:
    """The distribution of the ends of walks from each patch: its row of D or, with marks, of D R.

    Args:
        steps: probabilities of one step.
        grid: patches (down, right).
        count: length of the walks.
        marks: random numbers for each place, the same for every image of this grid; None for D itself.
    """
    height, width = grid
    if marks is None:
        places = torch.eye(height * width)
    else:
        places = torch.randn(marks, height * width, generator=torch.Generator().manual_seed(0))
    features = places.to(steps).unflatten(1, (height, width)).expand(len(steps), -1, -1, -1)
    return pool_pairs(features, steps, NEIGHBOUR, count)


def border_share(steps: Float[Tensor, "b n k"], grid: Sequence[int], count: int) -> Float32[Tensor, "b h w"]:
    """The rate at which walks end at the border of the image, over the rate if they ended anywhere.

    Args:
        steps: probabilities of one step.
        grid: patches (down, right).
        count: length of the walks.
    """
    height, width = grid
    border = torch.ones(height, width, device=steps.device)
    border[1:-1, 1:-1] = 0
    ends = pool_pairs(border.expand(len(steps), 1, -1, -1), steps, NEIGHBOUR, count)
    return ends[:, 0] / border.mean()


class WalkTeacher(nn.Module):
    """Affinities of random walks, as targets of a training or in place of the heads.

    Args:
        encoder: gives the map for :meth:`targets`: a CLIP encoder or its config; None where only features are refined,
            which bring their own.
        layer: name of the map.
        scale: σ of one step.
        steps: of a walk.
        long: steps of the walks that tell things from background; those go over the encoder's patches.
        gamma: affinities up to this count as 0; from 0 up to 1.
        thing: patches whose :func:`border_share` is below this show a thing.
        thing_scale: σ of the long walks.
        colour: κ of one step, in the unit of :func:`colours`; None where colours do not count.
        marks: see :func:`ends_of_walks`; None, exact, for small grids.
        sub_patch: where features are refined, side in pixels of the sub-patches that they are refined onto; None for
            the encoder's patches.
        radius: where features are refined, greatest distance of patches that are averaged; None for no limit.
        rounds: where features are refined, how many times.

    Raises:
        UsageError: where a number is out of range.
    """

    finds_foreground = True

    def __init__(
        self,
        encoder: CLIPEncoder | Mapping[str, Any] | None = None,
        layer: str = "blocks.-2.ln_2",
        scale: float = 0.2,
        steps: int = 8,
        long: int = 64,
        gamma: float = 0.6,
        thing: float = 0.5,
        thing_scale: float = 0.1,
        colour: float | None = None,
        marks: int | None = None,
        sub_patch: int | None = None,
        radius: int | float | None = None,
        rounds: int = 1,
    ) -> None:
        super().__init__()
        if not 0 <= gamma < 1:
            raise UsageError(f"gamma is the least affinity that counts, from 0 up to 1; got {gamma}")
        if min(scale, thing_scale, colour or 1.0) <= 0 or min(steps, long, rounds, marks or 1, sub_patch or 1) < 1:
            scales, counts = f"{scale=}, {thing_scale=}, {colour=}", f"{steps=}, {long=}, {rounds=}, {marks=}"
            raise UsageError(
                f"walks need positive scales and counts of 1 or more; got {scales}, {counts}, {sub_patch=}"
            )
        self.encoder = build(ENCODERS, encoder)
        self.layer, self.scale, self.gamma, self.thing = layer, scale, gamma, thing
        self.steps, self.long, self.thing_scale, self.colour, self.marks = steps, long, thing_scale, colour, marks
        self.sub_patch, self.radius, self.rounds = sub_patch, radius, rounds
        seen = layer if colour is None else f"{layer} and colours"
        self.name = f"walk of {steps} steps on {seen}, scale {scale:g}, gamma {gamma:g}"

    @property
    def needs(self) -> Needs:
        """The map that it walks on, and the images where colours count or there are sub-patches."""
        return Needs(maps=(self.layer,), images=self.colour is not None or self.sub_patch is not None)

    def check(self, encoder: Encoder) -> None:
        """Walks fit every encoder."""

    def ends(
        self, tapped: Float[Tensor, "b c h w"], images: Tensor | None, patch_size: int, side: int
    ) -> Float32[Tensor, "b m h2 w2"]:
        """Ends of walks over patches of ``side`` pixels, the map having patches of ``patch_size``."""
        grid = [length * patch_size // side for length in tapped.shape[2:]]
        finer = read_at_patches(tapped.float(), patch_size, (grid[0], grid[1]), side)
        colour = None
        if self.colour is not None:
            if images is None:
                raise UsageError("a walk on colours reads the images, too; none were given")
            colour = colours(whole_patches(images, patch_size), side)
        return ends_of_walks(transitions(finer, self.scale, colour, self.colour or 1.0), grid, self.steps, self.marks)

    def border_share(self, tapped: Float[Tensor, "b c h w"]) -> Float32[Tensor, "b h w"]:
        """:func:`border_share` of long walks over the encoder's patches."""
        return border_share(transitions(tapped, self.thing_scale), tapped.shape[2:], self.long)

    def forward(self, features: DenseFeatures, images: Float[Tensor, "b 3 H W"] | None = None) -> DenseFeatures:
        """Pool features by the affinities of walks on their own map, and add the foreground logits.

        Args:
            features: of the encoder.
            images: behind the features, RGB in [0, 1]; read where colours count.

        Raises:
            UsageError: where the features do not hold the map, or the images are missing.
        """
        if self.layer not in features.maps:
            raise UsageError(f"the walk reads {self.layer}, which the features do not hold; ask the encoder for it")
        tapped, patch_size = features.maps[self.layer], features.patch_size
        side = self.sub_patch or patch_size
        logits = (self.thing - self.border_share(tapped)).to(features.grid)
        finer = on_sub_patches(replace(features, foreground=logits), patch_size // side)
        ends = self.ends(tapped, images, patch_size, side)
        grid = pool_by_cosine(finer.grid, ends, self.gamma, self.radius, self.rounds)
        refined = replace(finer, grid=grid.to(features.grid))
        return refined if images is None else refined.inside((images.shape[2], images.shape[3]))

    @torch.no_grad()
    def targets(
        self,
        images: Float[Tensor, "b 3 H W"],
        patch_size: int,
        sub_patch: int | None = None,
        radius: int | float | None = None,
    ) -> tuple[Bool[Tensor, "b n k"], Bool[Tensor, "b h w"]]:
        """The pairs of patches or sub-patches that are alike, in reading order, and the patches that show a thing.

        Args:
            images: RGB in [0, 1].
            patch_size: of the encoder that is refined, which must be that of the teacher's own.
            sub_patch: side of the sub-patches of the pairs; None for patches.
            radius: of the pairs; None for all.

        Raises:
            UsageError: where there is no encoder, or one of other patches.
        """
        if self.encoder is None or self.encoder.patch_size != patch_size:
            own = "none" if self.encoder is None else f"one of patches of {self.encoder.patch_size}"
            raise UsageError(f"the walk needs an encoder of patches of {patch_size} pixels to teach; it has {own}")
        tapped = self.encoder.maps(images, (self.layer,))[self.layer]
        ends = self.ends(tapped, images, patch_size, sub_patch or patch_size)
        return pair_cosines(ends, radius) > self.gamma, self.border_share(tapped) < self.thing
