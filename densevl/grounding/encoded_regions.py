"""The regions of an image as a grounder sees them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from densevl.regions import RegionEmbeddings, Regions

__all__ = ["EncodedRegions"]


@dataclass(frozen=True, eq=False)
class EncodedRegions:
    """The regions of one image as vectors: ask about them any number of times.

    Attributes:
        regions: the candidates, with masks where a mask maker was at hand.
        embeddings: of the regions, by each model.
        proposals: where the regions come from.
        image: the image as given, for pictures.
    """

    regions: Regions
    embeddings: tuple[RegionEmbeddings, ...]
    proposals: str
    image: UInt8[np.ndarray, "H W 3"]
