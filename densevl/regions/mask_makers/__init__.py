"""From boxes, points or nothing to masks; one file an upstream library.

``sam`` (SAM ViT-B, ViT-L, ViT-H and the mini SAM), ``sam2`` (needs transformers, an extra), ``grabcut`` (no weights),
``merged-cells`` (pieces of an encoder's maps), and ``cached``, which keeps what another one made."""

from densevl.core.registry import Registry

__all__ = ["MASK_MAKERS"]

MASK_MAKERS = Registry(
    "mask maker",
    {
        "cached": "densevl.regions.mask_makers.cache:CachedMasks",
        "grabcut": "densevl.regions.mask_makers.grabcut:GrabCut",
        "merged-cells": "densevl.regions.mask_makers.merged_cells:MergedCells",
        "sam": "densevl.regions.mask_makers.sam:build_sam",
        "sam2": "densevl.regions.mask_makers.sam2:build_sam2",
    },
)
