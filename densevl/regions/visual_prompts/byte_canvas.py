"""The canvas for uint8 images in main memory: the same images as anywhere, drawn by OpenCV several times as fast.

Values are within one grey level of those that :class:`~densevl.regions.visual_prompts.Canvas` draws on floats, since
bytes are rounded after each step. Outlines are the same; a resized mask may differ in pixels that are half covered but
for 1/250. Regions are handled one by one: a mask fits into the cache, all of them do not.
"""

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, UInt8
from torch import Tensor

from densevl.core.geometry import Size
from densevl.regions.visual_prompts import areas as exact
from densevl.regions.visual_prompts.canvas import Canvas
from densevl.regions.visual_prompts.table import Style

__all__ = ["ByteCanvas", "compose", "outlines", "resized_masks"]

FULL = 254
"""Value of a covered pixel: of all even bytes the one with most steps, so that half of it is whole."""


def resized_masks(masks: Bool[Tensor, "n H W"], size: Size) -> Bool[Tensor, "n h w"]:
    """As :func:`densevl.regions.visual_prompts.areas.resized_masks`."""
    if masks.shape[1:] == size or len(masks) == 0:
        return exact.resized_masks(masks, size)
    solid = np.empty((len(masks), *size), bool)
    skips = exact.skips_pixels(masks.shape[1:], size)
    for mask, target in zip(masks.view(torch.uint8), solid, strict=True):
        values = mask * FULL
        if skips:
            resized = F.interpolate(values[None, None], size, mode="bilinear", antialias=True)[0, 0].numpy()
        else:
            resized = cv2.resize(values.numpy(), size[::-1], interpolation=cv2.INTER_LINEAR)
        np.greater_equal(resized, FULL // 2, out=target)
    found = torch.from_numpy(solid)
    thin = exact.empty(found)
    if thin.any():
        found[thin] = exact.resized_masks(masks[thin], size)
    return found


def outlines(areas: Bool[Tensor, "n h w"], width: int) -> Bool[Tensor, "n h w"]:
    """As :func:`densevl.regions.visual_prompts.areas.outlines`."""
    outer, inner = (np.ones((2 * reach + 1,) * 2, np.uint8) for reach in (width // 2, width - width // 2))
    lines = np.empty(areas.shape, np.uint8)
    for area, line in zip(areas.contiguous().view(torch.uint8).numpy(), lines, strict=True):
        kept = cv2.erode(area, inner, borderType=cv2.BORDER_CONSTANT, borderValue=(0,))
        cv2.subtract(cv2.dilate(area, outer), kept, dst=line)
    return torch.from_numpy(lines.view(bool))


def compose(
    areas: Bool[Tensor, "n h w"], inside: UInt8[Tensor, "_ 3 _ _"], outside: UInt8[Tensor, "_ 3 _ _"]
) -> UInt8[Tensor, "n 3 h w"]:
    """Compose as ``areas.compose`` does; the colours of a pixel lie side by side in the result."""
    size = areas.shape[1], areas.shape[2]
    pictures = np.empty((len(areas), *size, 3), np.uint8)
    sources, grounds = _pixels(inside, size), _pixels(outside, size)
    for i, (picture, area) in enumerate(zip(pictures, areas.contiguous().numpy(), strict=True)):
        picture[:] = grounds[i % len(grounds)]
        cv2.copyTo(sources[i % len(sources)], area.view(np.uint8), picture)
    return torch.from_numpy(pictures).permute(0, 3, 1, 2)


def _pixels(images: UInt8[Tensor, "m 3 _ _"], size: Size) -> UInt8[np.ndarray, "m h w 3"]:
    return images.expand(-1, -1, *size).permute(0, 2, 3, 1).contiguous().numpy()


class ByteCanvas(Canvas):
    """A surface for the regions of one image; the colours of a pixel lie side by side in all its images.

    Args:
        image: RGB, in main memory.
        size: short side that the image is brought to before it is drawn on; None for its own.
        style: colours and strengths.
    """

    _resized_masks, _outlines, _compose = staticmethod(resized_masks), staticmethod(outlines), staticmethod(compose)

    def __init__(self, image: UInt8[Tensor, "3 H W"], size: int | None, style: Style) -> None:
        super().__init__(image[None].contiguous(memory_format=torch.channels_last)[0], size, style)

    def _resized(self, pictures: UInt8[Tensor, "n 3 _ _"], size: Size) -> UInt8[Tensor, "n 3 h w"]:
        if pictures.shape[2:] == size:
            return pictures
        return F.interpolate(pictures, size, mode="bilinear", antialias=True)

    def _tinted(self, pictures: UInt8[Tensor, "n 3 h w"]) -> UInt8[Tensor, "n 3 h w"]:
        """A tint changes each byte without regard to the others, so a table of 256 says all."""
        table = super()._tinted(torch.arange(256, dtype=torch.uint8).expand(1, 3, 1, -1))[0].permute(1, 2, 0).numpy()
        arrays = pictures.permute(0, 2, 3, 1).contiguous().numpy()
        tinted = np.stack([cv2.LUT(picture, np.ascontiguousarray(table)) for picture in arrays])
        return torch.from_numpy(tinted).permute(0, 3, 1, 2)
