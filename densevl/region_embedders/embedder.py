"""What tasks ask of a region embedder."""

from typing import Any, Protocol

import numpy as np
from jaxtyping import UInt8

from densevl.regions import RegionEmbeddings, Regions

__all__ = ["RegionEmbedder"]


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
