"""One image made ready for drawing: resized once, tinted, greyed and blurred once, whatever the number of regions."""

from collections.abc import Callable
from functools import cached_property

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.core.geometry import Size, resized_size
from densevl.core.regions import Regions
from densevl.regions.visual_prompts.areas import box_areas, compose, ellipse_areas, empty, outlines, resized_masks
from densevl.regions.visual_prompts.blur import gaussian_blur
from densevl.regions.visual_prompts.table import NATIVE, Style, VisualPrompt, colour

__all__ = ["KEYPOINT_RADIUS", "Canvas"]

KEYPOINT_RADIUS = 0.06
"""Radius of the disc at the centre of a box, as a fraction of the short side."""

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R BT.601)."""


class Canvas:
    """A surface for the regions of one image.

    Args:
        image: RGB, uint8 or float in [0, 1], on any device; the result is of the same kind.
        size: short side that the image is brought to before it is drawn on; None for its own.
        style: colours and strengths.
    """

    _resized_masks, _outlines, _compose = staticmethod(resized_masks), staticmethod(outlines), staticmethod(compose)

    def __init__(self, image: Shaped[Tensor, "3 H W"], size: int | None, style: Style) -> None:
        self.image = image
        self.style = style
        self.short_side = min(image.shape[1:]) if size is None else size
        self._drawn_last: Regions | None = None
        self._kept_areas: dict[str, Tensor] = {}

    @property
    def given_size(self) -> Size:
        """(height, width) of the image as given, which boxes and masks are in."""
        return self.image.shape[1], self.image.shape[2]

    @cached_property
    def picture(self) -> Shaped[Tensor, "1 3 h w"]:
        """The image with its short side at the size."""
        size = resized_size(self.given_size, self.short_side, 1 << 30)
        return self._resized(self.image[None], size)

    def draw(self, regions: Regions, prompt: VisualPrompt) -> Shaped[Tensor, "n 3 h w"]:
        """Mark each region on an image of its own; crops come as squares."""
        if len(regions) == 0:
            side = self.short_side
            return self.image.new_zeros(0, 3, *(self.picture.shape[2:] if prompt.frame == "image" else (side, side)))
        if prompt.frame != "image":
            pictures, areas = self._crops(regions, prompt)
        else:
            pictures, areas = self.picture, self._areas(regions, prompt.area)
        marked = self._filled(pictures, areas, prompt)
        if prompt.outline:
            line = self._outlines(areas, max(1, round(self.style.thickness * self._scale)))
            marked = self._compose(line, self._paint(self.style.line), marked)
        return marked.expand(len(regions), -1, -1, -1)

    def _areas(self, regions: Regions, kind: str) -> Bool[Tensor, "n h w"]:
        """Areas in the image; those of the regions drawn last are kept, for the next visual prompt."""
        if self._drawn_last is not regions:
            self._drawn_last, self._kept_areas = regions, {}
        if kind not in self._kept_areas:
            self._kept_areas[kind] = self._make_areas(regions, kind)
        return self._kept_areas[kind]

    def _make_areas(self, regions: Regions, kind: str) -> Bool[Tensor, "n h w"]:
        height, width = size = (self.picture.shape[2], self.picture.shape[3])
        down, right = height / self.given_size[0], width / self.given_size[1]
        boxes = regions.boxes * regions.boxes.new_tensor([right, down, right, down])
        centres, halves = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
        if kind == "circle":
            return ellipse_areas(centres, halves, size)
        if kind == "point":
            return ellipse_areas(centres, torch.full_like(halves, KEYPOINT_RADIUS * self.short_side), size)
        if kind == "box" or regions.masks is None:
            return box_areas(boxes, size)
        masks = self._resized_masks(regions.masks, size)
        lost = empty(masks)
        return torch.where(lost[:, None, None], box_areas(boxes, size), masks) if lost.any() else masks

    def _crops(self, regions: Regions, prompt: VisualPrompt) -> tuple[Tensor, Bool[Tensor, "n s s"]]:
        side = (self.short_side, self.short_side)
        pictures, areas = [], []
        square = prompt.frame == "square"
        for i, (x0, y0, x1, y1) in enumerate(_crop_boxes(regions, self.style.margin, square)):
            pictures.append(self._resized(self.image[None, :, y0:y1, x0:x1], side))
            if prompt.area == "mask" and regions.masks is not None:
                areas.append(self._resized_masks(regions.masks[i : i + 1, y0:y1, x0:x1], side))
            elif square:
                box = regions.boxes[i : i + 1] - regions.boxes.new_tensor([x0, y0, x0, y0])
                areas.append(box_areas(box * self.short_side / box.new_tensor([x1 - x0, y1 - y0] * 2), side))
        crops = torch.cat(pictures)
        if not areas:
            return crops, torch.ones(len(crops), *side, dtype=torch.bool, device=crops.device)
        masks = torch.cat(areas)
        return crops, masks | empty(masks)[:, None, None]

    def _filled(self, pictures: Tensor, areas: Bool[Tensor, "n h w"], prompt: VisualPrompt) -> Tensor:
        """The area as it looks inside, all other pixels as they look outside."""
        if prompt.inside == prompt.outside:
            return pictures
        inside, outside = (self._look(pictures, look) for look in (prompt.inside, prompt.outside))
        return self._compose(areas, inside, outside)

    def _look(self, pictures: Tensor, look: str) -> Tensor:
        if pictures is not self.picture:
            return self._make(pictures, look)
        if look not in self._looks:
            self._looks[look] = self._make(pictures, look)
        return self._looks[look]

    @cached_property
    def _looks(self) -> dict[str, Tensor]:
        return {}

    def _make(self, pictures: Tensor, look: str) -> Tensor:
        """Images tinted, greyed, blurred or painted over."""
        if look == "image":
            return pictures
        if look == "flat":
            return self._paint(self._flat)
        change: Callable[[Tensor], Tensor] = {"tint": self._tinted, "grey": self._greyed, "blur": self._blurred}[look]
        return change(pictures)

    @property
    def _flat(self) -> str | tuple[int, int, int]:
        return self.style.flat

    @property
    def _scale(self) -> float:
        """Pixels here for one pixel at the size that a style is given at."""
        return self.short_side / NATIVE

    def _paint(self, name: str | tuple[int, int, int]) -> Shaped[Tensor, "1 3 1 1"]:
        return self._like_image(self._colour(name))

    def _colour(self, name: str | tuple[int, int, int]) -> Float[Tensor, "1 3 1 1"]:
        """A colour in the range of the image, 0..255 or [0, 1]."""
        values = torch.tensor(colour(name), dtype=torch.float32, device=self.image.device).view(1, 3, 1, 1)
        return values if self.image.dtype == torch.uint8 else values / 255

    def _tinted(self, pictures: Tensor) -> Tensor:
        alpha = self.style.alpha
        return self._like_image(pictures.float() * (1 - alpha) + self._colour(self.style.fill) * alpha)

    def _greyed(self, pictures: Tensor) -> Tensor:
        luma = torch.tensor(LUMA, device=self.image.device).view(1, 3, 1, 1)
        return self._like_image((pictures.float() * luma).sum(1, keepdim=True).expand_as(pictures))

    def _blurred(self, pictures: Tensor) -> Tensor:
        return self._like_image(gaussian_blur(pictures.float(), self.style.blur * self._scale))

    def _resized(self, pictures: Tensor, size: Size) -> Tensor:
        if pictures.shape[2:] == size:
            return pictures
        return self._like_image(F.interpolate(pictures.float(), size, mode="bilinear", antialias=True))

    def _like_image(self, values: Float[Tensor, "*n"]) -> Shaped[Tensor, "*n"]:
        """Computed values in the dtype of the image."""
        return values.round().clamp(0, 255).byte() if self.image.dtype == torch.uint8 else values.to(self.image.dtype)


def _crop_boxes(regions: Regions, margin: int | float, square: bool = False) -> list[tuple[int, int, int, int]]:
    """Whole pixels that the boxes touch, with a margin, inside the image; those of the squares round them."""
    height, width = regions.size
    sides = (regions.boxes[:, 2:] - regions.boxes[:, :2]).repeat(1, 2)
    grown = regions.boxes + margin * sides * sides.new_tensor([-1, -1, 1, 1])
    limits = grown.new_tensor([width, height])
    if square:
        side = (grown[:, 2:] - grown[:, :2]).amax(1, keepdim=True)
        low = torch.minimum(((grown[:, :2] + grown[:, 2:] - side) / 2), limits - side).clamp(min=0)
        grown = torch.cat([low, low + side], dim=1)
    low, high = grown[:, :2].floor(), grown[:, 2:].ceil()
    boxes = torch.cat([low.clamp(min=0), high.minimum(limits)], dim=1).int().tolist()
    return [tuple(box) for box in boxes]


def check_drawable(regions: Regions, size: Size, prompt: VisualPrompt) -> None:
    """Refuse regions of another image, or without the masks that a visual prompt is made of.

    Raises:
        UsageError: in these cases.
    """
    if regions.size != size:
        raise UsageError(f"the regions belong to an image of {regions.size}; this one is {size} (height, width)")
    if prompt.needs_masks and regions.masks is None:
        raise UsageError(
            f"visual prompt {prompt.name!r} is drawn along masks, and these regions have none; "
            "make some with a mask maker, or take one that needs boxes only, such as blur_box_mask or crop"
        )
