"""The regions of whole images as maps of numbers, cut like their windows."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.core.images import to_bytes
from densevl.core.regions import Regions
from densevl.core.registry import build
from densevl.regions.mask_makers import MASK_MAKERS
from densevl.tasks.segmentation.windows import WindowPlan

__all__ = ["RegionMaps", "joined", "region_map"]


class RegionMaps:
    """Makes the region maps of images, where somebody reads them.

    Args:
        mask_maker: of :data:`densevl.regions.mask_makers.MASK_MAKERS`; None where nobody reads regions.
        reader: name of the readout or stage that does; None for none.

    Raises:
        UsageError: where there is one without the other.
    """

    def __init__(self, mask_maker: Any, reader: str | None) -> None:
        if mask_maker is None and reader is not None:
            raise UsageError(
                f"{reader} reads the regions of the image; give it a mask_maker, such as {{'type': 'sam'}}"
            )
        if mask_maker is not None and reader is None:
            raise UsageError("no readout or stage reads regions, so a mask_maker would change nothing; leave it out")
        self.maker: Any = None if mask_maker is None else build(MASK_MAKERS, mask_maker)

    @property
    def name(self) -> str | None:
        """Identity of the mask maker and its settings; None for none."""
        return None if self.maker is None else self.maker.model_id

    def __call__(
        self, image: Float[Tensor, "3 H W"], plan: WindowPlan, device: torch.device
    ) -> Int[Tensor, "n h w"] | None:
        """The region of each pixel of each window, below 0 for none; None where nobody reads them.

        Args:
            image: the resized image, RGB in [0, 1].
            plan: of its windows.
            device: where the model is.
        """
        if self.maker is None:
            return None
        found = region_map(self.maker.to(device).everything(to_bytes(image)))
        return plan.crop(found[None, None].float())[:, 0].long().to(device)


def region_map(regions: Regions) -> Int[Tensor, "H W"]:
    """The region of each pixel, -1 for none; of regions that overlap, the smallest is on top.

    Args:
        regions: of an image, with masks; without any where nothing was found.
    """
    result = torch.full(tuple(regions.size), -1)
    if len(regions) and regions.masks is not None:
        masks = regions.masks.cpu()
        order = masks.flatten(1).sum(1).argsort(descending=True, stable=True)
        for number, mask in enumerate(masks[order]):
            result[mask] = number
    return result


def joined(
    maps: Sequence[Int[Tensor, "_ h w"] | None], members: Sequence[int], at_once: int, count: int
) -> Sequence[Int[Tensor, "_ h w"] | None]:
    """Region maps of several images, in the batches in which their windows are encoded.

    Args:
        maps: of each image; None for none.
        members: the images of the batches.
        at_once: windows of a batch.
        count: number of batches.
    """
    there = [found for found in (maps[i] for i in members) if found is not None]
    return torch.cat(there).split(at_once) if there else [None] * count
