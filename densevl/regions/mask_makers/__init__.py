"""Mask makers: from boxes, points or nothing to masks.

A mask maker is registered with ``@MASK_MAKERS.register_module()`` and imported here: ``sam`` (SAM ViT-B, ViT-L, ViT-H
and the mini SAM), ``sam2`` (an extra), ``grabcut`` (no weights), and ``cached``, which keeps what another one made.
"""

from typing import Any

from densevl.core.registry import MASK_MAKERS
from densevl.regions.mask_makers.automatic import Automatic
from densevl.regions.mask_makers.cache import CachedMasks
from densevl.regions.mask_makers.grabcut import GrabCut
from densevl.regions.mask_makers.maker import MaskMaker, PreparedImage
from densevl.regions.mask_makers.mini_sam import build_mini_sam
from densevl.regions.mask_makers.promptable import PromptableMaskMaker
from densevl.regions.mask_makers.sam import Sam, build_sam

__all__ = [
    "Automatic",
    "CachedMasks",
    "GrabCut",
    "MaskMaker",
    "PreparedImage",
    "PromptableMaskMaker",
    "Sam",
    "build_mini_sam",
    "build_sam",
    "build_sam2",
]


@MASK_MAKERS.register_module("sam2")
def build_sam2(*args: Any, **settings: Any) -> PromptableMaskMaker:
    """A SAM 2 mask maker; transformers, which it needs, is imported here and not before.

    Args:
        args: those of :func:`densevl.regions.mask_makers.sam2.build_sam2`.
        settings: likewise.

    Raises:
        UsageError: where transformers is missing or too old.
    """
    from densevl.regions.mask_makers.sam2 import build_sam2 as build

    return build(*args, **settings)
