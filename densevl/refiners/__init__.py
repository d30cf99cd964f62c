"""Refiners: modules from dense features to better dense features, without another pass of the encoder.

A refiner is registered with ``@REFINERS.register_module()`` and imported here.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor

from densevl.refiners.dinoiser import DinoiserRefiner, mark_background
from densevl.refiners.dinoiser_weights import build_dinoiser, save_heads
from densevl.refiners.found import FoundDecoder, build_found
from densevl.refiners.pooling import pool_by_affinity, pool_by_cosine
from densevl.refiners.sub_patches import on_sub_patches, whole_patches
from densevl.refiners.teachers import Teachers, read_at_patches
from densevl.refiners.walk import WalkTeacher
from densevl.structures import DenseFeatures

__all__ = [
    "DinoiserRefiner",
    "FoundDecoder",
    "Refiner",
    "Teachers",
    "WalkTeacher",
    "build_dinoiser",
    "build_found",
    "mark_background",
    "on_sub_patches",
    "pool_by_affinity",
    "pool_by_cosine",
    "read_at_patches",
    "save_heads",
    "whole_patches",
]


class Refiner(Protocol):
    """What the segmentor asks of a refiner.

    Attributes:
        wants_images: whether it is called with the images (RGB in [0, 1]) behind the features, too.
        name: what reports call it: its kind, weights and settings.
        intermediates: maps of the encoder that it reads, such as ``"blocks.-3.ln_2"``.
        finds_foreground: whether its features tell things from background, as the background mode ``head`` needs.
    """

    wants_images: bool
    name: str
    intermediates: Sequence[str]
    finds_foreground: bool

    def check(self, encoder: Any) -> None:
        """Raise a ``WeightsError`` where the refiner was not made for the encoder."""
        ...

    def __call__(self, features: DenseFeatures, *images: Tensor) -> DenseFeatures:
        """Refine features of any batch; ``features.intermediates`` holds the maps that were asked for."""
        ...
