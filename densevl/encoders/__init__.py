"""Models that turn pixels and texts into vectors; one file a library."""

from densevl.core.registry import Registry

__all__ = ["ENCODERS"]

ENCODERS = Registry(
    "encoder",
    {
        "clip": "densevl.encoders.loading:build_clip",
        "dino": "densevl.encoders.dino:build_dino",
        "photo": "densevl.encoders.photo:build_photo",
        "random-clip": "densevl.encoders.loading:build_random_clip",
        "sam3": "densevl.encoders.sam3:build_sam3",
        "whole-clip": "densevl.encoders.loading:build_whole_clip",
    },
)
