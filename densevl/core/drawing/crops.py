"""A region of an image by itself, square, with a little of what lies round it."""

import cv2
import numpy as np
from jaxtyping import UInt8

from densevl.core.geometry import Box

__all__ = ["draw_crop"]

CONTEXT = 1.6
"""How much more than the longer side of the region is shown."""

PAPER = 236
"""Grey of what lies outside of the image."""


def draw_crop(image: UInt8[np.ndarray, "H W 3"], box: Box, side: int = 160) -> UInt8[np.ndarray, "{side} {side} 3"]:
    """The region in the middle, its box outlined.

    Args:
        image: RGB.
        box: of the region, xyxy in pixels.
        side: of the picture in pixels.
    """
    x0, y0, x1, y1 = box
    scale = side / (CONTEXT * max(x1 - x0, y1 - y0, 1.0))
    left, top = (x0 + x1) / 2 - side / scale / 2, (y0 + y1) / 2 - side / scale / 2
    near = image if scale > 1 / 3 else cv2.GaussianBlur(image, (0, 0), 0.4 / scale)
    to_crop = np.array([[scale, 0, (0.5 - left) * scale - 0.5], [0, scale, (0.5 - top) * scale - 0.5]])
    shown = cv2.warpAffine(near, to_crop, (side, side), flags=cv2.INTER_LINEAR, borderValue=(PAPER, PAPER, PAPER))
    corners = [round(scale * value) for value in (x0 - left, y0 - top, x1 - left, y1 - top)]
    for colour, thickness in (((20, 20, 20), 3), ((255, 255, 255), 1)):
        cv2.rectangle(shown, corners[:2], corners[2:], colour, thickness, cv2.LINE_AA)
    return shown
