"""Drawing as the published code of Fine-Grained Visual Prompting does (commit 80b067b), to the byte.

Differences from our own drawing: the image is resized by Pillow; boxes are cut to (w - 1, h - 1) and to whole pixels,
whose last row and column are drawn; masks are resized bilinearly and taken where anything is covered; crops are brought
to the size by their short side, drawn on and then squashed without smoothing, and what lies between the bytes is
rounded; grey weighs red as blue; blur is Pillow's, in pixels. As in our own drawing, and unlike in that code, blur
and grey are made once an image, which changes no byte.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Shaped, UInt8
from PIL import Image, ImageFilter
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.core.geometry import Size
from densevl.core.regions import Regions
from densevl.regions.visual_prompts.byte_canvas import ByteCanvas
from densevl.regions.visual_prompts.canvas import KEYPOINT_RADIUS
from densevl.regions.visual_prompts.table import Style, VisualPrompt, colour

__all__ = ["CompatibleCanvas"]


class CompatibleCanvas(ByteCanvas):
    """A canvas that draws the bytes of the published code; for uint8 images in main memory.

    Raises:
        UsageError: where the image is another.
    """

    def __init__(self, image: Shaped[Tensor, "3 H W"], size: int | None, style: Style) -> None:
        if image.dtype != torch.uint8 or image.device.type != "cpu":
            raise UsageError(f"compatible drawing takes uint8 images on the CPU; got {image.dtype} on {image.device}")
        super().__init__(image, size, style)

    def draw(self, regions: Regions, prompt: VisualPrompt) -> UInt8[Tensor, "n 3 h w"]:
        """Mark each region on an image of its own; crops come as squares."""
        if len(regions) == 0 or prompt.frame == "square" or (prompt.frame == "image" and not prompt.outline):
            return super().draw(regions, prompt)
        if prompt.frame == "crop":
            return torch.cat([self._crop(regions, i, prompt) for i in range(len(regions))])
        areas = self._areas(regions, prompt.area)
        filled = self._filled(self.picture, areas, prompt).expand(len(regions), -1, -1, -1)
        drawn = filled.permute(0, 2, 3, 1).clone(memory_format=torch.contiguous_format).numpy()
        for picture, place, area in zip(drawn, self._places(regions), areas.numpy(), strict=True):
            self._outline(picture, place, area, prompt)
        return torch.from_numpy(drawn).permute(0, 3, 1, 2)

    def _crop(self, regions: Regions, index: int, prompt: VisualPrompt) -> UInt8[Tensor, "1 3 s s"]:
        x0, y0, x1, y1 = regions.boxes[index].int().tolist()
        x1, y1 = max(x1, x0 + 1), max(y1, y0 + 1)
        cut = self.image[None, :, y0:y1, x0:x1]
        picture = self._resized(cut, _by_short_side((y1 - y0, x1 - x0), self.short_side))
        if prompt.area == "mask" and regions.masks is not None:
            area = self._resized_masks(
                regions.masks[index : index + 1, y0:y1, x0:x1], (picture.shape[2], picture.shape[3])
            )
        else:
            area = torch.ones(1, *picture.shape[2:], dtype=torch.bool)
        drawn = self._filled(picture, area, prompt).float()
        squashed = F.interpolate(drawn, (self.short_side,) * 2, mode="bilinear", align_corners=False)
        return squashed.round().byte()

    def _make_areas(self, regions: Regions, kind: str) -> Bool[Tensor, "n h w"]:
        size = (self.picture.shape[2], self.picture.shape[3])
        if kind == "mask" and regions.masks is not None:
            return self._resized_masks(regions.masks, size)
        areas = np.zeros((len(regions), *size), np.uint8)
        for area, place in zip(areas, self._places(regions), strict=True):
            if kind == "circle":
                cv2.ellipse(area, *_ellipse(place), 0, 0, 360, (1,), cv2.FILLED)
            elif kind == "box":
                x0, y0, x1, y1 = place.astype(int).tolist()
                cv2.rectangle(area, (x0, y0), (x1, y1), (1,), cv2.FILLED)
        return torch.from_numpy(areas.view(bool))

    def _places(self, regions: Regions) -> np.ndarray:
        """Boxes in pixels of the image, (n, 4), as they are drawn."""
        height, width = self.picture.shape[2:]
        down, right = height / self.given_size[0], width / self.given_size[1]
        boxes = regions.boxes * torch.tensor([right, down, right, down])
        return boxes.clamp(min=0).minimum(torch.tensor([width - 1, height - 1] * 2)).numpy()

    def _outline(self, picture: np.ndarray, place: np.ndarray, area: np.ndarray, prompt: VisualPrompt) -> None:
        line, thickness = colour(self.style.line), int(self.style.thickness)
        x0, y0, x1, y1 = place.tolist()
        if prompt.area == "box":
            cv2.rectangle(picture, (int(x0), int(y0)), (int(x1), int(y1)), line, thickness)
        elif prompt.area == "circle":
            cv2.ellipse(picture, *_ellipse(place), 0, 0, 360, line, thickness)
        elif prompt.area == "point":
            centre = int((x0 + x1) / 2), int((y0 + y1) / 2)
            cv2.circle(picture, centre, int(KEYPOINT_RADIUS * self.short_side), line, thickness)
        else:
            contours, _ = cv2.findContours(area.view(np.uint8), cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
            cv2.drawContours(picture, contours, -1, line, thickness)

    @property
    def _flat(self) -> str | tuple[int, int, int]:
        return self.style.fill

    def _greyed(self, pictures: Tensor) -> Tensor:
        grey = [cv2.cvtColor(_array(picture), cv2.COLOR_BGR2GRAY) for picture in pictures]
        return torch.from_numpy(np.stack(grey))[:, None].expand_as(pictures)

    def _blurred(self, pictures: Tensor) -> Tensor:
        blur = ImageFilter.GaussianBlur(self.style.blur)
        return _tensor([Image.fromarray(_array(picture)).filter(blur) for picture in pictures])

    def _resized(self, pictures: Tensor, size: Size) -> Tensor:
        if pictures.shape[2:] == size:
            return pictures
        width_height = (size[1], size[0])
        return _tensor([Image.fromarray(_array(p)).resize(width_height, Image.Resampling.BILINEAR) for p in pictures])

    def _resized_masks(self, masks: Bool[Tensor, "n H W"], size: Size) -> Bool[Tensor, "n h w"]:
        touched = torch.empty(len(masks), *size, dtype=torch.bool)
        for mask, target in zip(masks, touched, strict=True):  # one fits into the cache, all do not
            values = F.interpolate(mask[None, None].float(), size, mode="bilinear", align_corners=False)
            torch.gt(values[0, 0], 0, out=target)
        return touched


def _by_short_side(size: Size, side: int) -> Size:
    scale = side / min(size)
    return int(size[0] * scale + 0.5), int(size[1] * scale + 0.5)


def _ellipse(place: np.ndarray) -> tuple[tuple[int, int], tuple[int, int]]:
    """Centre and half axes, in whole pixels, of the ellipse in a box."""
    x0, y0, x1, y1 = place.tolist()
    width, height = x1 - x0, y1 - y0
    return (int(x0 + 0.5 * width), int(y0 + 0.5 * height)), (int(width / 2), int(height / 2))


def _array(picture: UInt8[Tensor, "3 h w"]) -> UInt8[np.ndarray, "h w 3"]:
    return np.ascontiguousarray(picture.permute(1, 2, 0).numpy())


def _tensor(pictures: Sequence[Image.Image]) -> UInt8[Tensor, "n 3 h w"]:
    return torch.from_numpy(np.stack([np.asarray(picture) for picture in pictures])).permute(0, 3, 1, 2)
