"""Modules from dense features to better dense features, without another pass of the encoder; one file a method."""

from densevl.core.registry import Registry

__all__ = ["REFINERS"]

REFINERS = Registry(
    "refiner",
    {
        "dinoiser": "densevl.dense.refiners.dinoiser_weights:build_dinoiser",
        "finer": "densevl.dense.refiners.finer:Finer",
        "guide-keys": "densevl.dense.refiners.guide_keys:GuideKeys",
        "teachers": "densevl.dense.refiners.teachers:Teachers",
        "walk": "densevl.dense.refiners.walk:WalkTeacher",
    },
)
