"""The canvas for uint8 images in main memory: the same pictures as anywhere, drawn by OpenCV several times as fast.

Values are within one grey level of those that :class:`~densevl.regions.visual_prompts.Canvas` draws on floats, since
bytes are rounded after each step.
"""

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, UInt8
from torch import Tensor

from densevl.core.geometry import Size
from densevl.regions.visual_prompts.byte_areas import compose, outlines, resized_masks
from densevl.regions.visual_prompts.canvas import Canvas
from densevl.regions.visual_prompts.table import Style

__all__ = ["ByteCanvas"]


class ByteCanvas(Canvas):
    """A surface for the regions of one image; the colours of a pixel lie side by side in all its pictures.

    Args:
        image: RGB, in main memory.
        size: short side that the picture is brought to before it is drawn on; None for its own.
        style: colours and strengths.
    """

    def __init__(self, image: UInt8[Tensor, "3 H W"], size: int | None, style: Style) -> None:
        super().__init__(image[None].contiguous(memory_format=torch.channels_last)[0], size, style)

    def _resized(self, pictures: UInt8[Tensor, "n 3 _ _"], size: Size) -> UInt8[Tensor, "n 3 h w"]:
        if pictures.shape[2:] == size:
            return pictures
        return F.interpolate(pictures, size, mode="bilinear", antialias=True)

    def _resized_masks(self, masks: Bool[Tensor, "n H W"], size: Size) -> Bool[Tensor, "n h w"]:
        return resized_masks(masks, size)

    def _outlines(self, areas: Bool[Tensor, "n h w"], width: int) -> Bool[Tensor, "n h w"]:
        return outlines(areas, width)

    def _compose(self, areas: Tensor, inside: Tensor, outside: Tensor) -> Tensor:
        return compose(areas, inside, outside)

    def _tinted(self, pictures: UInt8[Tensor, "n 3 h w"]) -> UInt8[Tensor, "n 3 h w"]:
        """A tint changes each byte without regard to the others, so a table of 256 says all."""
        table = super()._tinted(torch.arange(256, dtype=torch.uint8).expand(1, 3, 1, -1))[0].permute(1, 2, 0).numpy()
        arrays = pictures.permute(0, 2, 3, 1).contiguous().numpy()
        tinted = np.stack([cv2.LUT(picture, np.ascontiguousarray(table)) for picture in arrays])
        return torch.from_numpy(tinted).permute(0, 3, 1, 2)
