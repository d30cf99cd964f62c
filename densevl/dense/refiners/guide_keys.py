"""Keys by a guide: a second encoder says which patches are alike, and the features stay as they are.

What compares patches by their keys, such as :class:`densevl.dense.stages.lposs.LPOSS`,
:class:`densevl.dense.stages.appearance.Appearance` or key smoothing, then compares them by what the guide makes of the
images. The guide looks at an image once, when it is encoded, and serves every vocabulary that is asked later.

Convention: the guide's map is read bilinearly at the centres of the features' patches; beyond its outermost centres it
goes on as it ends. Where both have the same patches they are taken as they are.
"""

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures
from densevl.core.geometry import Extent, Size
from densevl.core.registry import build
from densevl.dense.guides import GUIDES
from densevl.encoders.contracts import Encoder, Needs

__all__ = ["GuideKeys", "read_cells"]


def read_cells(
    maps: Float[Tensor, "b c h w"], extent: Extent, grid: Size, covered: Extent
) -> Float[Tensor, "b c {grid[0]} {grid[1]}"]:
    """Maps read bilinearly at the centres of the cells of another grid.

    Args:
        maps: on a grid that covers ``extent`` evenly.
        extent: left, top, right and bottom in pixels of an image.
        grid: cells (down, right) to read at.
        covered: what these cover evenly, in pixels of the same image.
    """
    if (maps.shape[2], maps.shape[3]) == grid and extent == covered:
        return maps
    places = []
    for axis in (0, 1):  # across, down
        count, length = grid[1 - axis], extent[axis + 2] - extent[axis]
        centres = (torch.arange(count, device=maps.device) + 0.5) / count
        pixels = covered[axis] + centres * (covered[axis + 2] - covered[axis])
        places.append((pixels - extent[axis]) / length * 2 - 1)
    at = torch.stack(torch.meshgrid(*places, indexing="xy"), dim=-1).to(maps).expand(len(maps), -1, -1, -1)
    return F.grid_sample(maps, at, mode="bilinear", padding_mode="border", align_corners=False)


class GuideKeys(nn.Module):
    """Features with the keys of a guide.

    Args:
        guide: a built guide, its config or its name.

    Raises:
        UsageError: where it describes no images.
    """

    needs = Needs(images=True)
    finds_foreground = False
    makes_keys = True

    def __init__(self, guide: Any) -> None:
        super().__init__()
        self.guide: Any = build(GUIDES, guide)
        if not callable(self.guide):
            raise UsageError(f"guide must be one of {', '.join(GUIDES.names)}; got {guide!r}")
        self.eval()

    @property
    def name(self) -> str:
        """The name in reports, the guide's included."""
        return f"guide-keys(guide={self.guide.name})"

    def check(self, encoder: Encoder) -> None:
        """A guide looks at the images themselves and fits every encoder."""

    @torch.no_grad()
    def forward(self, features: DenseFeatures, images: Float[Tensor, "b 3 H W"] | None = None) -> DenseFeatures:
        """The features with keys.

        Args:
            features: on any grid.
            images: behind the features.

        Raises:
            UsageError: where the images are missing.
        """
        if images is None:
            raise UsageError("keys by a guide are made of the images, which did not come with the features")
        described: DenseFeatures = self.guide(images)
        height, width = images.shape[2:]
        grid: Size = (features.grid.shape[2], features.grid.shape[3])
        rows, columns = described.grid.shape[2:]
        patch = described.patch_size
        extent = described.extent or (0, 0, columns * patch, rows * patch)
        covered = (0, 0, width, height)  # of an extent of their own, features cover the images that refiners see
        if features.extent is None:
            covered = (0, 0, grid[1] * features.patch_size, grid[0] * features.patch_size)
        return replace(features, keys=read_cells(described.grid, extent, grid, covered))
