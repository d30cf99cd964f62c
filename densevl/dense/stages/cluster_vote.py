"""A vote of the pixels of each cluster on its label."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int, Int64
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures
from densevl.core.geometry import Size
from densevl.dense.contracts import named
from densevl.dense.operations.clusters import majority
from densevl.encoders.contracts import Window

__all__ = ["ClusterVote", "regions_on_pixels"]


@dataclass(frozen=True)
class ClusterVote:
    """Give the pixels of each region that a readout has found the most frequent of their labels.

    Source: CLIPtrase (Shao et al., ECCV 2024). Where we differ: an image may have several windows, whose regions are
    their own; a pixel in several is of the one whose middle is nearest.
    """

    on_labels = True

    @property
    def name(self) -> str:
        """Its kind."""
        return named("cluster-vote", self)

    def __call__(
        self, labels: Int[Tensor, "H W"], features: DenseFeatures, windows: Sequence[Window]
    ) -> Int[Tensor, "H W"]:
        """Labels that are the same inside of a region.

        Raises:
            UsageError: where the readout found no regions.
        """
        if features.regions is None:
            raise UsageError(
                "cluster-vote needs regions, which the readout did not look for; take one that does, such as cliptrase"
            )
        regions = regions_on_pixels(features, windows, (labels.shape[0], labels.shape[1]))
        return majority(labels, regions).to(labels)


def regions_on_pixels(features: DenseFeatures, windows: Sequence[Window], size: Size) -> Int64[Tensor, "H W"]:
    """The region of each pixel of an image, those of its windows numbered one after another; below 0 for none.

    Args:
        features: of the windows, with regions.
        windows: their boxes in the resized image.
        size: of the image as given.
    """
    assert features.regions is not None
    device = features.regions.device
    bottom, right = max(window[3] for window in windows), max(window[2] for window in windows)
    ys, xs = (
        (torch.arange(side, device=device) + 0.5) * (resized / side)
        for side, resized in zip(size, (bottom, right), strict=True)
    )
    rows, columns = features.grid.shape[2:]
    patch = features.patch_size
    first_x, first_y, last_x, last_y = features.extent or (0, 0, columns * patch, rows * patch)
    result, nearest = torch.full(size, -1, device=device), torch.full(size, torch.inf, device=device)
    known = 0
    for cells, window in zip(features.regions.long(), windows, strict=True):
        height, width = cells.shape
        down = ((ys - window[1] - first_y) * (height / (last_y - first_y))).floor().long()
        across = ((xs - window[0] - first_x) * (width / (last_x - first_x))).floor().long()
        inside = ((ys >= window[1]) & (ys < window[3]))[:, None] & ((xs >= window[0]) & (xs < window[2]))
        far = (ys - (window[1] + window[3]) / 2).square()[:, None] + (xs - (window[0] + window[2]) / 2).square()
        here = inside & (far < nearest)
        found = cells[down.clamp(0, height - 1)][:, across.clamp(0, width - 1)]
        result = torch.where(here, torch.where(found < 0, -1, found + known), result)
        nearest = torch.where(here, far, nearest)
        known += int(cells.max()) + 1
    return result
