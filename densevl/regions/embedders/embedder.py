"""The contract of region embedders."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor

from densevl.core.regions import RegionEmbeddings, Regions
from densevl.encoders.contracts import TextSpace

__all__ = ["RegionEmbedder", "device_of", "on_device", "space_of"]


@runtime_checkable
class RegionEmbedder(Protocol):
    """Turns regions of images into unit vectors of the joint image-text space.

    An embedder that inherits from this class has to define ``encoder``, ``protocol`` and :meth:`embed`.

    Attributes:
        encoder: the space of the vectors, into which it embeds texts too.
    """

    encoder: TextSpace

    @property
    def needs_masks(self) -> bool:
        """True where boxes alone are not enough."""
        return False

    @property
    def reads_masks(self) -> bool:
        """True where a vector depends on the mask of its region, where there is one."""
        return self.needs_masks

    @property
    def protocol(self) -> Mapping[str, Any]:
        """Everything that decides a vector, for reports: JSON values only."""
        ...

    def embed(self, image: UInt8[np.ndarray, "H W 3"], regions: Regions) -> RegionEmbeddings:
        """Embed regions of an image, none or thousands; each as if it were the only one."""
        ...

    def embed_batch(
        self, images: Sequence[UInt8[np.ndarray, "_ _ 3"]], regions: Sequence[Regions]
    ) -> list[RegionEmbeddings]:
        """Embed regions of each of several images of any sizes; one image after the other by default."""
        return [self.embed(image, some) for image, some in zip(images, regions, strict=True)]


def space_of(embedder: RegionEmbedder) -> str:
    """The name of the vectors that an embedder makes, for classifiers that are made of examples."""
    settings = {name: value for name, value in embedder.protocol.items() if name != "encoder"}
    return f"regions: {json.dumps(settings, sort_keys=True)}"


def device_of(encoder: TextSpace) -> torch.device:
    """The device of the weights."""
    return next(encoder.parameters()).device


def on_device(images: Shaped[Tensor, "*b 3 H W"], device: torch.device) -> Float[Tensor, "*b 3 H W"]:
    """Images as float in [0, 1], moved as bytes where they are bytes."""
    moved = images.to(device)
    return moved.float() / 255 if moved.dtype == torch.uint8 else moved
