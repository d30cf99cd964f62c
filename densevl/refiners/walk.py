"""Which patches belong together, told by a random walk over the patches of a picture: a teacher without any label.

The walk goes from a patch to itself or one of its eight neighbours, the sooner the more alike they are in a map g of
the encoder (Meila & Shi, A Random Walks View of Spectral Segmentation, AISTATS 2001)::

    W_pq = exp(-((1 - cos(g_p, g_q)) / σ)²)    of neighbours, else 0
    P    = W / its row sums,   D = P^t
    A_pq = cos(D_p, D_q)                        walks from p and q end in the same places

A patch shows a thing where long walks from it seldom end at the border of the picture, measured by what share of all
places the border has (boundary prior: Wei et al., Geodesic Saliency Using Background Priors, ECCV 2012).

Two patches of one colour that a line parts are told apart, which no comparison of patches by themselves can do.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32
from torch import Tensor, nn

from densevl.errors import UsageError
from densevl.refiners.dinoiser import pool_by_affinity, within_reach
from densevl.registry import ENCODERS, REFINERS, build
from densevl.structures import DenseFeatures

__all__ = ["WalkTeacher", "affinity_of_walks", "border_share", "transitions"]

NEIGHBOUR = 1.5
"""Reach of a step in patches: the eight neighbours."""


def transitions(tapped: Float[Tensor, "b c h w"], scale: float) -> Float32[Tensor, "b n n"]:
    """Probabilities of one step, from each patch (row) to each (column), in reading order.

    Args:
        tapped: the map whose cosines tell how alike neighbours are.
        scale: σ, in cosine.
    """
    units = F.normalize(tapped.float().flatten(2), dim=1)
    weights = (-(((1 - units.mT @ units) / scale) ** 2)).exp()
    weights = weights * within_reach(tapped.shape[2:], NEIGHBOUR).to(weights)
    return weights / weights.sum(dim=2, keepdim=True)


def affinity_of_walks(steps: Float[Tensor, "b n n"], count: int) -> Float32[Tensor, "b n n"]:
    """How alike the ends of walks from two patches are, from 0 to 1.

    Args:
        steps: probabilities of one step.
        count: length of the walks.
    """
    ends = F.normalize(torch.linalg.matrix_power(steps, count), dim=2)
    return ends @ ends.mT


def border_share(steps: Float[Tensor, "b n n"], grid: Sequence[int], count: int) -> Float32[Tensor, "b h w"]:
    """How often walks end at the border of the picture, over how often they would if they ended anywhere.

    Args:
        steps: probabilities of one step.
        grid: patches (down, right).
        count: length of the walks.
    """
    height, width = grid
    border = torch.ones(height, width, device=steps.device)
    border[1:-1, 1:-1] = 0
    ends = border.flatten()[None, :, None].expand(len(steps), -1, 1)
    for _ in range(count):
        ends = steps @ ends
    return ends[..., 0].unflatten(1, (height, width)) / border.mean()


@REFINERS.register_module("walk")
class WalkTeacher(nn.Module):
    """Affinities of random walks, as targets of a training or in place of the heads.

    Args:
        encoder: gives the map for :meth:`targets`: a CLIP encoder or its config; None where only features are refined,
            which bring their own.
        layer: name of the map.
        scale: σ of one step.
        steps: of a walk.
        long: steps of the walks that tell things from background.
        gamma: affinities up to this count as 0; from 0 up to 1.
        thing: patches whose :func:`border_share` is below this show a thing.

    Raises:
        UsageError: where a number is out of range.
    """

    wants_images = False
    finds_foreground = True

    def __init__(
        self,
        encoder: Any = None,
        layer: str = "blocks.-2.ln_2",
        scale: float = 0.2,
        steps: int = 8,
        long: int = 64,
        gamma: float = 0.6,
        thing: float = 0.5,
    ) -> None:
        super().__init__()
        if not 0 <= gamma < 1:
            raise UsageError(f"gamma is the least affinity that counts, from 0 up to 1; got {gamma}")
        if scale <= 0 or min(steps, long) < 1:
            raise UsageError(f"walks need a positive scale and a step or more; got {scale}, {steps} and {long}")
        self.encoder = build(ENCODERS, encoder)
        self.layer, self.scale, self.gamma, self.thing = layer, scale, gamma, thing
        self.steps, self.long = steps, long
        self.intermediates: Sequence[str] = (layer,)
        self.name = f"walk of {steps} steps on {layer}, scale {scale:g}, gamma {gamma:g}"

    def check(self, encoder: Any) -> None:
        """Walks fit every encoder."""

    def forward(self, features: DenseFeatures) -> DenseFeatures:
        """Pool features by the affinities of walks on their own map, and add the foreground logits.

        Raises:
            UsageError: where the features do not hold the map.
        """
        if self.layer not in features.intermediates:
            raise UsageError(f"the walk reads {self.layer}, which the features do not hold; ask the encoder for it")
        tapped = features.intermediates[self.layer]
        steps = transitions(tapped, self.scale)
        grid = pool_by_affinity(features.grid, affinity_of_walks(steps, self.steps), self.gamma).to(features.grid)
        shares = border_share(steps, tapped.shape[2:], self.long)
        return replace(features, grid=grid, foreground=(self.thing - shares).to(features.grid))

    @torch.no_grad()
    def targets(
        self, images: Float[Tensor, "b 3 H W"], patch_size: int
    ) -> tuple[Bool[Tensor, "b n n"], Bool[Tensor, "b h w"]]:
        """Which pairs of patches are alike, in reading order, and which patches show a thing.

        Args:
            images: RGB in [0, 1].
            patch_size: of the encoder that is refined, which must be that of the teacher's own.

        Raises:
            UsageError: where there is no encoder, or one of other patches.
        """
        if self.encoder is None or self.encoder.patch_size != patch_size:
            own = "none" if self.encoder is None else f"one of patches of {self.encoder.patch_size}"
            raise UsageError(f"the walk needs an encoder of patches of {patch_size} pixels to teach; it has {own}")
        tapped = self.encoder.intermediates(images, (self.layer,))[self.layer]
        steps = transitions(tapped, self.scale)
        same = affinity_of_walks(steps, self.steps) > self.gamma
        return same, border_share(steps, tapped.shape[2:], self.long) < self.thing
