"""Regions embedded by averaging dense features inside them: one pass of the encoder for any number of regions.

Source: masked pooling of patch features as in Ghiasi et al., Scaling Open-Vocabulary Image Segmentation with
Image-Level Labels (OpenSeg), ECCV 2022, https://arxiv.org/abs/2112.12143, over the dense features of MaskCLIP (Zhou et
al., ECCV 2022). Each patch counts with the area of it that the region covers, exactly, whatever the sizes of image and
grid. Patches are made unit vectors first, as the segmentor does.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures
from densevl.core.geometry import Size, bin_coverage, resized_size
from densevl.core.gradients import frozen
from densevl.core.images import resize_image
from densevl.core.regions import RegionEmbeddings, Regions
from densevl.dense.encoder import DenseEncoder
from densevl.encoders.contracts import Encoder
from densevl.regions.embedders.embedder import RegionEmbedder, on_device

__all__ = ["MaskPooling", "pool_regions"]

AT_ONCE = 64
"""Masks that are pooled together."""


class MaskPooling(nn.Module, RegionEmbedder):
    """Averages the segmentor's dense features over each region: over its mask, or over its box where it has none.

    Args:
        encoder: gives dense features and embeds texts; built, or a config.
        readout: how its last block is read; built, or a config.
        refiners: change the features; each built, or a config.
        short_side: the image is scaled to it; None leaves its size. The image is encoded whole.
        long_side: no side becomes longer.
        use_masks: False pools over boxes also where there are masks.
        positions: how the position embedding is resized, one of :data:`densevl.encoders.contracts.POSITIONS`.
        border: what becomes of sides that are no multiple of the patch; only ``"black"`` keeps patches square.
    """

    def __init__(
        self,
        encoder: Encoder | Mapping[str, Any],
        readout: Any = "maskclip",
        refiners: Sequence[Any] = (),
        short_side: int | None = 448,
        long_side: int = 2048,
        use_masks: bool = True,
        positions: str = "size",
        border: str = "black",
    ) -> None:
        super().__init__()
        self.dense = DenseEncoder(encoder, readout, refiners, positions, border)
        self.encoder = self.dense.encoder
        self.short_side, self.long_side = short_side, long_side
        self.use_masks = use_masks

    @property
    def reads_masks(self) -> bool:
        """True where a vector depends on the mask of its region, if it has one."""
        return self.use_masks

    @property
    def protocol(self) -> dict[str, Any]:
        """Everything that decides a vector, for reports: JSON values only."""
        return {
            "type": "mask-pooling",
            **self.dense.protocol,
            "short_side": self.short_side,
            "long_side": self.long_side,
            "use_masks": self.use_masks,
        }

    def embed(self, image: UInt8[np.ndarray, "H W 3"], regions: Regions) -> RegionEmbeddings:
        """Embed the regions of an image.

        Raises:
            UsageError: where the regions are of another image.
        """
        if regions.size != image.shape[:2]:
            raise UsageError(f"the regions belong to an image of {regions.size}; this one is {image.shape[:2]}")
        return self.pool(self.encode(image), regions)

    @frozen
    def encode(self, image: UInt8[np.ndarray, "H W 3"]) -> DenseFeatures:
        """Dense features of an image, from which any regions can be pooled later."""
        if self.short_side is not None:
            image = resize_image(image, self._size(image.shape[:2]))
        pixels = on_device(torch.from_numpy(image).permute(2, 0, 1)[None], self.dense.device)
        return self.dense(pixels)

    @frozen
    def pool(self, features: DenseFeatures, regions: Regions) -> RegionEmbeddings:
        """Embed regions of an encoded image."""
        grid = F.normalize(features.grid[0].float(), dim=0)
        height, width = self._size(regions.size)
        patch = (features.patch_size * regions.size[0] / height, features.patch_size * regions.size[1] / width)
        regions = (regions if self.use_masks else regions.with_masks(None)).to(grid.device)
        return RegionEmbeddings(pool_regions(grid, regions, patch), features.model_id)

    def _size(self, size: Size) -> Size:
        return size if self.short_side is None else resized_size(size, self.short_side, self.long_side)


def pool_regions(
    grid: Float[Tensor, "d h w"], regions: Regions, patch: tuple[int | float, int | float]
) -> Float[Tensor, "n d"]:
    """The mean of the features over the pixels of each region, as unit vectors.

    Args:
        grid: one vector a patch; the first patch begins at the image's upper left corner.
        regions: of the image; where a mask is empty, its box counts.
        patch: (height, width) of a patch in pixels of the image as given; the last row and column may extend beyond it.
    """
    height, width = regions.size
    edges = (torch.arange(n + 1, dtype=torch.float32, device=grid.device) for n in grid.shape[1:])
    rows, columns = (edge * side for edge, side in zip(edges, patch, strict=True))
    x0, y0, x1, y1 = regions.boxes[..., None].unbind(1)
    down, right = _overlap(rows, y0, y1), _overlap(columns, x0, x1)
    coverage = down[:, :, None] * right[:, None]
    if regions.masks is not None and len(regions):
        rows_covered, columns_covered = bin_coverage(height, rows), bin_coverage(width, columns)
        covered = torch.cat([rows_covered @ m.float() @ columns_covered.mT for m in regions.masks.split(AT_ONCE)])
        coverage = torch.where(covered.flatten(1).any(1)[:, None, None], covered, coverage)
    return F.normalize(coverage.flatten(1) @ grid.flatten(1).mT, dim=1)


def _overlap(
    edges: Float[Tensor, " e"], low: Float[Tensor, "n 1"], high: Float[Tensor, "n 1"]
) -> Float[Tensor, "n e-1"]:
    """Length of the overlap of each interval with each bin."""
    return (torch.minimum(edges[1:], high) - torch.maximum(edges[:-1], low)).clamp(min=0)
