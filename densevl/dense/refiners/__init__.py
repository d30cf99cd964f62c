"""Refiners: modules from dense features to better dense features, without another pass of the encoder.

A refiner is registered with ``@REFINERS.register_module()`` and imported here.
"""

from densevl.dense.refiners.affinity import pool_by_affinity, pool_by_cosine
from densevl.dense.refiners.dinoiser import DinoiserRefiner, mark_background
from densevl.dense.refiners.dinoiser_weights import build_dinoiser, save_heads
from densevl.dense.refiners.found import FoundDecoder, build_found
from densevl.dense.refiners.sub_patches import on_sub_patches, whole_patches
from densevl.dense.refiners.teachers import Teachers, read_at_patches
from densevl.dense.refiners.walk import WalkTeacher

__all__ = [
    "DinoiserRefiner",
    "FoundDecoder",
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
