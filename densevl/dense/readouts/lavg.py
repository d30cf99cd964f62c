"""LaVG, after the paper: an image is first cut into regions that a guide finds, then each region has one feature.

Source: Kang and Cho, In Defense of Lazy Visual Grounding for Open-Vocabulary Semantic Segmentation, ECCV 2024,
https://arxiv.org/abs/2408.04961. The regions are normalised cuts of the patches of DINO ViT-B/8 (cosines above 0.15
are edges), their borders follow colours by a dense conditional random field, and the mean of the features of SCLIP
over a region takes the place of the features of its patches.

The method's code has no licence and was not read. What we have set: cuts are made in the order of their cost until none
costs less than ``limit`` or there are ``most`` regions; the random field works on the patches of the guide, not on
pixels; features are resized to these patches and made unit before their mean is taken. Each window is cut by itself.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from densevl.core.errors import UsageError
from densevl.core.registry import build
from densevl.dense.contracts import Read
from densevl.dense.guides import GUIDES
from densevl.dense.operations.normalised_cut import follow_colours, normalised_cuts
from densevl.dense.readouts import READOUTS
from densevl.encoders.contracts import LastBlock, Needs, join_needs

__all__ = ["LaVGReadout", "mean_of_regions"]


def mean_of_regions(features: Float[Tensor, "d h w"], regions: Int[Tensor, "h w"]) -> Float[Tensor, "d h w"]:
    """Features of which each place has the mean over its region.

    Args:
        features: of each place.
        regions: from 0 on.
    """
    flat, owners = features.flatten(1), regions.flatten().long()
    sums = flat.new_zeros(len(flat), int(owners.max()) + 1).index_add_(1, owners, flat)
    counts = torch.bincount(owners, minlength=sums.shape[1]).to(flat)
    return (sums / counts.clamp(min=1))[:, owners].unflatten(1, (regions.shape[0], regions.shape[1]))


class LaVGReadout(nn.Module):
    """Read the last block by another readout, and average over regions of a guide.

    Args:
        readout: how the block is read: a built readout, its config, or its name.
        guide: a second encoder, its config or its name.
        threshold: cosine above which two patches are joined.
        most: number of regions at most.
        limit: cost of a cut that is not made any more, up to 1.
        reach: of colours, in patches of the guide.
        steps: of the random field; 0 for none.

    Raises:
        UsageError: where the guide is missing, or a setting is out of range.
    """

    def __init__(
        self,
        readout: Any = "sclip",
        guide: Any = None,
        threshold: float = 0.15,
        most: int = 16,
        limit: float = 0.5,
        reach: float = 10.0,
        steps: int = 10,
    ) -> None:
        super().__init__()
        if guide is None:
            raise UsageError(f"LaVG cuts an image by a guide; give it one of {', '.join(GUIDES.names)}")
        if not (-1 < threshold < 1 and most >= 1 and 0 <= limit <= 1 and reach > 0 and steps >= 0):
            raise UsageError(
                "LaVG takes a threshold between -1 and 1, one region or more, a limit up to 1, a reach above 0 and "
                f"no or more steps; got {threshold}, {most}, {limit}, {reach} and {steps}"
            )
        self.readout = build(READOUTS, readout)
        self.guide = build(GUIDES, guide)
        self.threshold, self.most, self.limit, self.reach, self.steps = threshold, most, limit, reach, steps

    @property
    def needs(self) -> Needs:
        """Those of the readout, the guide, and the images for their colours."""
        return join_needs([Needs(guide=self.guide, images=True), self.readout.needs])

    @property
    def name(self) -> str:
        """Its kind and settings."""
        names = ("threshold", "most", "limit", "reach", "steps")
        settings = ", ".join(f"{name}={getattr(self, name)}" for name in names)
        return f"lavg({self.readout.name}, {settings}, guide={self.guide.name})"

    def forward(self, last: LastBlock) -> Read:
        """Features in the joint space on the grid of the guide, and its regions.

        Raises:
            UsageError: where the readout makes anything but tokens of the patches.
        """
        tokens = self.readout(last)
        if isinstance(tokens, Read) or last.guide is None or last.images is None or last.to_joint is None:
            raise UsageError(f"LaVG averages features of patches, which {self.readout.name} does not make")
        grid = (last.guide.grid.shape[2], last.guide.grid.shape[3])
        joint = last.to_joint(tokens.flatten(2).mT).mT.unflatten(2, (tokens.shape[2], tokens.shape[3]))
        features = F.normalize(F.interpolate(joint, grid, mode="bilinear", align_corners=False), dim=1)
        regions = torch.stack([*map(self._regions, last.guide.grid, last.images)])
        averaged = torch.stack([mean_of_regions(*pair) for pair in zip(features, regions, strict=True)])
        return Read(averaged, joint=True, regions=regions)

    def _regions(self, described: Float[Tensor, "c h w"], image: Float[Tensor, "3 H W"]) -> Int[Tensor, "h w"]:
        units = F.normalize(described.float().flatten(1).mT, dim=1)
        labels = normalised_cuts(units, self.threshold, self.most, self.limit).view(described.shape[1:])
        colours = F.adaptive_avg_pool2d(image[None].float(), (described.shape[1], described.shape[2]))[0]
        return follow_colours(labels, colours.to(units), self.reach, self.steps)
