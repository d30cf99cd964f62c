"""Refiners: modules from dense features to better dense features, without another pass of the encoder.

A refiner is registered with ``@REFINERS.register_module()`` and imported here. None ships yet.
"""

from collections.abc import Sequence
from typing import Protocol

from densevl.structures import DenseFeatures

__all__ = ["Refiner"]


class Refiner(Protocol):
    """What the segmentor asks of a refiner.

    Attributes:
        intermediates: maps of the encoder that it reads, such as ``"blocks.-3.ln_2"``.
    """

    intermediates: Sequence[str]

    def __call__(self, features: DenseFeatures) -> DenseFeatures:
        """Refine features of any batch; ``features.intermediates`` holds the maps that were asked for."""
        ...
