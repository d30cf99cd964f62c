"""What tasks ask of a region embedder."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor, nn

from densevl.core.regions import RegionEmbeddings, Regions

__all__ = ["RegionEmbedder", "device_of", "embed_batch", "on_device"]


@runtime_checkable
class RegionEmbedder(Protocol):
    """Turns the regions of one image into unit vectors of the joint image-text space.

    Attributes:
        encoder: what the vectors come from; it embeds texts into the same space.
        needs_masks: whether boxes alone are not enough.
        protocol: everything that decides a vector, for reports: plain values only.
    """

    encoder: Any

    @property
    def needs_masks(self) -> bool: ...

    @property
    def protocol(self) -> dict[str, Any]: ...

    def embed(self, image: UInt8[np.ndarray, "H W 3"], regions: Regions) -> RegionEmbeddings:
        """Embed regions of an image, none or thousands; each as if it were the only one."""
        ...


def embed_batch(
    embedder: Any, images: Sequence[UInt8[np.ndarray, "_ _ 3"]], regions: Sequence[Regions]
) -> list[RegionEmbeddings]:
    """Embed regions of several images: together where the embedder has a method of this name, else one by one.

    Args:
        embedder: of any kind.
        images: of any sizes.
        regions: of each of them.
    """
    together = getattr(embedder, "embed_batch", None)
    if together is not None:
        found: list[RegionEmbeddings] = together(images, regions)
        return found
    return [embedder.embed(image, some) for image, some in zip(images, regions, strict=True)]


def device_of(encoder: nn.Module) -> torch.device:
    """Where the weights are."""
    return next(encoder.parameters()).device


def on_device(images: Shaped[Tensor, "*b 3 H W"], device: torch.device) -> Float[Tensor, "*b 3 H W"]:
    """Images as float in [0, 1], moved as bytes where they are bytes."""
    moved = images.to(device)
    return moved.float() / 255 if moved.dtype == torch.uint8 else moved
