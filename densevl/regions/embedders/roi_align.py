"""RoIAlign and mask pooling in the place of the prompter's attention: what a prompter is compared with.

Source: He et al., Mask R-CNN, ICCV 2017, https://arxiv.org/abs/1703.06870; CLOC (see
:mod:`densevl.regions.embedders.prompter`) compares with RoIAlign and says no more. Here all but the attention is as
in the prompter, so that the two differ in how a region is read alone: normalised tokens are averaged over the region,
and the mean goes through the value projection, the feed-forward layers, the last normalisation and the projection.

Convention: boxes are (x0, y0, x1, y1) as fractions of the padded image.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.ops import roi_align

__all__ = ["MaskReader", "RoIAlignReader"]

BINS, SAMPLES = 7, 2
"""Bins of RoIAlign along each side, as in Mask R-CNN, and samples of a bin along each side."""


class _PooledReader(nn.Module):
    """The layers behind the reading of a region.

    Args:
        width: of the ViT.
        dim: of the joint space.
        feed_forward: inner width of the feed-forward layers in multiples of ``width``.
        temperature: initial factor of the cosines between regions and texts.
    """

    def __init__(
        self, width: int, dim: int, feed_forward: int | float = 4, temperature: int | float = 1 / 0.07
    ) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {"width": width, "dim": dim, "feed_forward": feed_forward}
        inner = int(feed_forward * width)
        self.ln_1, self.value, self.ln_2 = nn.LayerNorm(width), nn.Linear(width, width), nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, width))
        self.ln_post, self.project = nn.LayerNorm(width), nn.Linear(width, dim, bias=False)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(temperature)))

    def _units(self, grid: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Tokens normalised, before gain and bias, which means take as well."""
        tokens = grid.movedim(1, -1)
        return F.layer_norm(tokens, self.ln_1.normalized_shape, eps=self.ln_1.eps).movedim(-1, 1)

    def _answer(self, means: Float[Tensor, "b m c"]) -> Float[Tensor, "b m d"]:
        x = self.value(means * self.ln_1.weight + self.ln_1.bias)
        vectors = self.project(self.ln_post(x + self.mlp(self.ln_2(x))))
        return F.normalize(vectors.to(torch.promote_types(vectors.dtype, torch.float32)), dim=-1)


class RoIAlignReader(_PooledReader):
    """Reads boxes by RoIAlign, the mean of its bins. It takes hints of boxes alone."""

    def boxes(self, boxes: Float[Tensor, "b m 4"]) -> Float[Tensor, "b m 1 4"]:
        """Hints of boxes: the boxes."""
        return boxes[:, :, None]

    def forward(self, grid: Float[Tensor, "b c h w"], hints: Float[Tensor, "b m 1 4"]) -> Float[Tensor, "b m d"]:
        """Embed m boxes of each image; a box without extent is read at its corner."""
        height, width = grid.shape[2:]
        scaled = hints[:, :, 0] * hints.new_tensor([width, height, width, height])
        bins = roi_align(self._units(grid), list(scaled), BINS, sampling_ratio=SAMPLES, aligned=True)
        return self._answer(bins.mean((2, 3)).unflatten(0, hints.shape[:2]))


class MaskReader(_PooledReader):
    """Reads masks by the mean of the tokens in them. It takes hints of masks alone."""

    def masks(self, grid: Float[Tensor, "b c h w"], shares: Float[Tensor, "b m h w"]) -> Float[Tensor, "b m 1 c"]:
        """Hints of masks: means of tokens, weighted by how much of each patch the mask covers; 0 where nothing."""
        weights = shares.flatten(2)
        means = weights @ self._units(grid).flatten(2).mT / weights.sum(2, keepdim=True).clamp(min=1e-6)
        return means[:, :, None]

    def forward(self, grid: Float[Tensor, "b c h w"], hints: Float[Tensor, "b m 1 c"]) -> Float[Tensor, "b m d"]:
        """Embed m masks of each image."""
        return self._answer(hints[:, :, 0])
