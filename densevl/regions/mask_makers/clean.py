"""Removing what is too small from masks: holes are filled, islands vanish."""

import cv2
import numpy as np
import torch
from jaxtyping import Bool
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
        filled = _without_small(mask, least, holes=True)
        kept = _without_small(filled, least, holes=False)
        cleaned.append(torch.from_numpy(kept))
        changed[i] = kept is not mask
    return torch.stack(cleaned), changed


def _without_small(mask: Bool[np.ndarray, "H W"], least: int, holes: bool) -> Bool[np.ndarray, "H W"]:
    """As segment_anything's ``remove_small_regions``, whose import takes long; the same mask where nothing is small."""
    _, pieces, stats, _ = cv2.connectedComponentsWithStats((mask != holes).astype(np.uint8), connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA]
    small = areas < least
    small[0] = False  # what lies around the pieces
    if not small.any():
        return mask
    inside = small if holes else ~small
    inside[0] = holes
    if not inside.any():
        inside[1 + areas[1:].argmax()] = True
    return inside[pieces]
