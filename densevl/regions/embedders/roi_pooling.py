"""Boxes embedded by RoIAlign of a map of patches: one pass of the encoder for any number of boxes, as FG-CLIP does it.

Source: Xie et al., FG-CLIP: Fine-Grained Visual and Textual Alignment, ICML 2025, https://arxiv.org/abs/2505.05071, and
FG-CLIP 2, https://arxiv.org/abs/2510.10921; reference code 360CVGroup/FG-CLIP (Apache-2.0),
``get_image_box_roi_features``: RoIAlign to one bin, ``aligned``, as many samples as the bin has patches, of patches as
they come from the projection, not made unit vectors before. RoIAlign is that of He et al., Mask R-CNN, ICCV 2017.

FG-CLIP reads patches past the attention of the last block, as MaskCLIP does (``readout="maskclip"``), and squashes
images to its native size. FG-CLIP 2 reads them as they are and lets its dense head attend to all of them
(``readout="plain"``); images keep their ratio and have the most patches that a count allows, which the size of the
image decides (:data:`FG_CLIP_2_PATCHES`).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from torch import nn
from torchvision.ops import roi_align
from torchvision.transforms.functional import InterpolationMode, resize

from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures
from densevl.core.geometry import Size
from densevl.core.gradients import frozen
from densevl.core.regions import RegionEmbeddings, Regions
from densevl.dense.encoder import DenseEncoder
from densevl.encoders.contracts import Encoder
from densevl.encoders.images import fit
from densevl.regions.embedders.embedder import RegionEmbedder, on_device

__all__ = ["FG_CLIP_2_PATCHES", "RoIPooling", "size_of_patches"]

FG_CLIP_2_PATCHES = (128, 256, 576, 784, 1024)
"""Counts of patches that FG-CLIP 2 is evaluated with: the least that an image's own whole patches do not exceed."""


class RoIPooling(nn.Module, RegionEmbedder):
    """Averages samples of the patches inside each box; masks are not looked at.

    Args:
        encoder: gives dense features and embeds texts; built, or a config.
        readout: how its last block is read; built, or a config.
        refiners: change the features; each built, or a config.
        patches: counts of patches, of which the least is taken that the image's own do not exceed, or the largest:
            images keep their ratio. None squashes images to the encoder's native size.
        positions: how the position embedding is resized, one of :data:`densevl.encoders.contracts.POSITIONS`.

    Raises:
        UsageError: where a count is not above 0, or as for :class:`densevl.dense.encoder.DenseEncoder`.
    """

    def __init__(
        self,
        encoder: Encoder | Mapping[str, Any],
        readout: Any = "maskclip",
        refiners: Sequence[Any] = (),
        patches: Sequence[int] | None = None,
        positions: str = "size",
    ) -> None:
        super().__init__()
        self.dense = DenseEncoder(encoder, readout, refiners, positions)
        self.encoder = self.dense.encoder
        if patches is not None and (not patches or min(patches) < 1):
            raise UsageError(f"patches are counts above 0, or null to squash images; got {list(patches)}")
        self.patches = None if patches is None else tuple(sorted(patches))

    @property
    def protocol(self) -> dict[str, Any]:
        """Everything that decides a vector, for reports: JSON values only."""
        return {
            "type": "roi-align",
            **self.dense.protocol,
            "patches": None if self.patches is None else list(self.patches),
        }

    def embed(self, image: UInt8[np.ndarray, "H W 3"], regions: Regions) -> RegionEmbeddings:
        """Embed the boxes of the regions of an image.

        Raises:
            UsageError: where the regions are of another image.
        """
        if regions.size != image.shape[:2]:
            raise UsageError(f"the regions belong to an image of {regions.size}; this one is {image.shape[:2]}")
        return self.pool(self.encode(image), regions)

    @frozen
    def encode(self, image: UInt8[np.ndarray, "H W 3"]) -> DenseFeatures:
        """Dense features of an image, from which any boxes can be pooled later."""
        pixels = on_device(torch.from_numpy(image).permute(2, 0, 1)[None], self.dense.device)
        if self.patches is None:
            return self.dense(fit(pixels, self.encoder.image_size, "squash"))
        patch = self.encoder.patch_size
        own = (image.shape[0] // patch) * (image.shape[1] // patch)
        count = next((count for count in self.patches if own <= count), self.patches[-1])
        size = list(size_of_patches((image.shape[0], image.shape[1]), patch, count))
        return self.dense(resize(pixels, size, InterpolationMode.BILINEAR, antialias=True))

    @frozen
    def pool(self, features: DenseFeatures, regions: Regions) -> RegionEmbeddings:
        """Embed boxes of an encoded image."""
        grid = features.grid[:1].float()
        (height, width), (rows, columns) = regions.size, grid.shape[2:]
        scale = grid.new_tensor([columns / width, rows / height]).repeat(2)
        boxes = regions.boxes.to(grid) * scale
        vectors = roi_align(grid, [boxes], 1, sampling_ratio=-1, aligned=True)[:, :, 0, 0]
        return RegionEmbeddings(F.normalize(vectors, dim=1), features.model_id)


def size_of_patches(size: Size, patch: int, most: int) -> Size:
    """The largest size of an image's ratio whose sides, continued to whole patches, hold no more than so many.

    Source: NaFlex of SigLIP 2 (Tschannen et al., https://arxiv.org/abs/2502.14786), whose code searches the scale by
    bisection; here it is one of those at which a side is whole patches.

    Args:
        size: (height, width) of the image.
        patch: side of a patch in pixels.
        most: patches allowed, at least 1.

    Returns:
        (height, width), whole patches.
    """
    height, width = size
    by_rows = [(rows / height, rows, math.ceil(rows * width / height)) for rows in range(1, most + 1)]
    by_columns = [(columns / width, math.ceil(columns * height / width), columns) for columns in range(1, most + 1)]
    _, rows, columns = max(one for one in (*by_rows, *by_columns) if one[1] * one[2] <= most)
    return rows * patch, columns * patch
