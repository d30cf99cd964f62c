"""Dense features mixed with the vectors of the regions that they lie in.

A map names every place by what lies round it; a region that is cut out and embedded as an image of its own is named
much more surely, and tells nothing of where it ends. So the unit vectors v_r of the regions r of an image are mixed
into the unit features f_i of its patches, each region by the part c_ri of the patch that it covers::

    f'_i = (1 − w) f_i + w Σ_r c_ri v_r / Σ_r c_ri          and f'_i = f_i where no region lies

What comes out are dense features like any others: they are labelled, smoothed and asked again as often as one likes.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor, nn

from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures
from densevl.core.geometry import Size
from densevl.core.registry import build
from densevl.encoders.contracts import Encoder
from densevl.regions.embedders import REGION_EMBEDDERS
from densevl.regions.mask_makers import MASK_MAKERS
from densevl.regions.pipeline import RegionPipeline
from densevl.tasks.segmentation.windows import WindowPlan

__all__ = ["RegionBlend"]

LEAST = 1e-3
"""Part of a patch below which regions do not count."""


class RegionBlend(nn.Module):
    """Regions of an image, mixed into its dense features; see the equation above.

    Args:
        encoder: that of the dense features, which embedder and mask maker share where they name none.
        embedder: of regions, in the space of the dense features: a config or a built one.
        mask_maker: proposes the regions: a name, a config or a built one.
        weight: w, above 0, up to 1.
        most: regions of an image, those of the best scores.

    Raises:
        UsageError: where a setting is out of range, or the embedder is of another model.
    """

    def __init__(
        self, encoder: Encoder, embedder: Any, mask_maker: Any, weight: int | float = 0.5, most: int = 20
    ) -> None:
        super().__init__()
        if not 0 < weight <= 1 or most < 1:
            raise UsageError(f"a blend takes a weight above 0, up to 1, and a region or more; got {weight} and {most}")
        self.embedder = build(REGION_EMBEDDERS, _shared(embedder, encoder))
        self.mask_maker = build(MASK_MAKERS, _shared(mask_maker, encoder))
        if self.embedder.encoder.model_id != encoder.model_id:
            raise UsageError(
                f"the regions of a blend are vectors of {self.embedder.encoder.model_id!r} and the dense features of "
                f"{encoder.model_id!r}; take the same model for both"
            )
        self.weight, self.most = weight, most

    @property
    def name(self) -> str:
        """Its parts and settings, for reports and fingerprints."""
        protocol = {name: value for name, value in self.embedder.protocol.items() if name != "encoder"}
        return f"{self.mask_maker.name}, {protocol}, weight={self.weight}, most={self.most}"

    @torch.inference_mode()
    def forward(self, image: UInt8[np.ndarray, "H W 3"], features: DenseFeatures, plan: WindowPlan) -> DenseFeatures:
        """The features of all windows of an image with those of its regions.

        Args:
            image: the image, of any size; the larger, the better its regions are named.
            features: of the windows.
            plan: where they lie in the resized image.
        """
        maker = self.mask_maker.to(features.grid.device)
        pipeline = RegionPipeline(self.embedder, maker, self.most)
        regions = pipeline.propose(image)
        if not len(regions) or regions.masks is None:
            return features
        vectors = pipeline.embed([image], [regions])[0].vectors
        covered = _coverage(regions.masks.to(features.grid.device), features, plan)
        total = covered.sum(1, keepdim=True)
        of_regions = torch.einsum("nrhw,rd->ndhw", covered, vectors.to(covered)) / total.clamp(min=LEAST)
        own = F.normalize(features.grid.float(), dim=1)
        mixed = torch.where(total < LEAST, own, (1 - self.weight) * own + self.weight * of_regions)
        return replace(features, grid=mixed.to(features.grid.dtype))


def _shared(config: Any, encoder: Encoder) -> Any:
    """A config in which the encoder is the one given, where it names none; a built member as it is."""
    if isinstance(config, str):
        config = {"type": config}
    return {"encoder": encoder, **config} if isinstance(config, Mapping) else config


def _coverage(masks: Bool[Tensor, "r H W"], features: DenseFeatures, plan: WindowPlan) -> Float[Tensor, "n r h w"]:
    """The part of each patch of each window that each mask of the image covers."""
    resized = [F.interpolate(mask[None, None].float(), plan.size, mode="area") for mask in masks]
    windows = plan.crop(torch.cat(resized, dim=1))
    grid: Size = (features.grid.shape[2], features.grid.shape[3])
    height, width = (side * features.patch_size for side in grid)
    padded = F.pad(windows, (0, width - windows.shape[3], 0, height - windows.shape[2]))
    return F.avg_pool2d(padded, features.patch_size)
