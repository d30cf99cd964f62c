"""Removing what is too small from masks: holes are filled, islands vanish."""

import torch
from jaxtyping import Bool
from segment_anything.utils.amg import remove_small_regions
from torch import Tensor

from densevl.core.geometry import Size

__all__ = ["SMALL", "least_area", "without_small_pieces"]

SMALL = 400 / (480 * 640)
"""Fraction of the image below which holes and islands are removed: 400 pixels of a photograph of COCO."""


def least_area(size: Size, fraction: int | float) -> int:
    """A fraction of an image in whole pixels."""
    return round(fraction * size[0] * size[1])


def without_small_pieces(masks: Bool[Tensor, "n H W"], least: int) -> tuple[Bool[Tensor, "n H W"], Bool[Tensor, " n"]]:
    """Fill holes and remove islands of fewer pixels, neighbours being eight; the largest island always stays.

    Args:
        masks: on any device.
        least: area in pixels; with 0 and 1 nothing changes.

    Returns:
        The masks on the CPU, and which of them have changed.
    """
    masks = masks.cpu()
    changed = torch.zeros(len(masks), dtype=torch.bool)
    if least <= 1 or len(masks) == 0:
        return masks, changed
    cleaned = []
    for i, mask in enumerate(masks.numpy()):
        filled, holes = remove_small_regions(mask, least, "holes")
        kept, islands = remove_small_regions(filled, least, "islands")
        cleaned.append(torch.from_numpy(kept))
        changed[i] = holes or islands
    return torch.stack(cleaned), changed
