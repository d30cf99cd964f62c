"""An example: a region of an image and the name of what it shows, as files of annotations hold it.

Convention: a box is xyxy, half-open, and a point (x, y), in pixels of the image or, where ``relative``, in fractions of
its width and height.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from densevl.core.errors import UsageError, first_line, shortened
from densevl.core.files import was_url
from densevl.core.geometry import Box, Size
from densevl.core.masks import decode_masks, mask_of

__all__ = ["Example", "checked", "checked_name", "numbers"]


@dataclass(frozen=True)
class Example:
    """A region of an image and its name; without box, mask and point the whole image.

    Attributes:
        image: its file.
        name: of the class.
        place: where it was read, for errors, such as ``"a.json, annotation 7"``.
        box: of the region.
        mask: of the region: polygons ``((x, y, x, y, …), …)``, a run-length code of COCO, or the file of an image whose
            pixels above 0 belong to it.
        point: in the region.
        relative: whether box, polygons and point are fractions of the image.
        caption: a text that describes it, for methods that read one; empty for none.
    """

    image: Path
    name: str
    place: str = ""
    box: Box | None = None
    mask: Any = None
    point: tuple[float, float] | None = None
    relative: bool = False
    caption: str = ""

    def box_in(self, size: Size) -> Box:
        """The box in pixels, cut to the image; that of the whole image where there is none.

        Args:
            size: (height, width) of the image.

        Raises:
            UsageError: where it lies outside the image, or is none.
        """
        height, width = size
        if self.box is None:
            return 0, 0, width, height
        sides = [float(side) for side in self.box]
        if self.relative:
            sides = [side * length for side, length in zip(sides, (width, height, width, height), strict=True)]
        left, top, right, bottom = sides
        cut = max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height))
        if not (cut[0] < cut[2] and cut[1] < cut[3]):  # numbers that are none compare as False
            written = ", ".join(f"{side:g}" for side in sides)
            reason = "is empty" if not (left < right and top < bottom) else "lies outside the image"
            raise UsageError(f"{self.place}: the box ({written}) {reason} of {height}×{width} pixels; correct it")
        return cut

    def point_in(self, size: Size) -> tuple[float, float] | None:
        """The point in pixels; None where there is none.

        Args:
            size: (height, width) of the image.

        Raises:
            UsageError: where it lies outside the image.
        """
        if self.point is None:
            return None
        height, width = size
        x, y = self.point
        x, y = (x * width, y * height) if self.relative else (x, y)
        if not (0 <= x < width and 0 <= y < height):
            raise UsageError(
                f"{self.place}: the point ({x:g}, {y:g}) lies outside the image of {height}×{width} pixels"
            )
        return x, y

    def mask_in(self, size: Size) -> Bool[Tensor, "H W"] | None:
        """The mask; None where there is none.

        Args:
            size: (height, width) of the image.

        Raises:
            UsageError: where it is empty, of another size, or cannot be read.
        """
        if self.mask is None:
            return None
        mask = self._painted(size) if isinstance(self.mask, Path) else self._decoded(size)
        if not mask.any():
            raise UsageError(f"{self.place}: the mask is empty; draw it, or leave the example out")
        return mask

    def _decoded(self, size: Size) -> Bool[Tensor, "H W"]:
        mask = self.mask
        if self.relative and not isinstance(mask, dict):
            sides = np.array(size[::-1], float)
            mask = [(np.asarray(one, float).reshape(-1, 2) * sides).ravel().tolist() for one in mask]
        try:
            code = mask_of(mask, size)
            if code is None:
                raise ValueError("it has no points")
            return decode_masks([code], size)[0]
        except (ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
            raise UsageError(f"{self.place}: the mask cannot be used: {shortened(first_line(error))}") from None

    def _painted(self, size: Size) -> Bool[Tensor, "H W"]:
        pixels = cv2.imread(str(self.mask), cv2.IMREAD_UNCHANGED)
        if pixels is None:
            raise UsageError(f"{self.place}: the mask {self.mask} cannot be read; check the path")
        if pixels.shape[:2] != tuple(size):
            raise UsageError(
                f"{self.place}: the mask {self.mask} has {pixels.shape[0]}×{pixels.shape[1]} pixels and its image "
                f"{size[0]}×{size[1]}; save it in the size of the image"
            )
        return torch.from_numpy((pixels.reshape(*size, -1) > 0).any(2))


def checked_name(name: Any, place: str) -> str:
    """The name of a class as people would write it.

    Raises:
        UsageError: where it is no text, or empty.
    """
    if not isinstance(name, str) or not name.strip():
        raise UsageError(f"{place}: the name of a class is a text; got {shortened(repr(name))}")
    return " ".join(name.split())


def checked(examples: Iterable[Example], source: str) -> tuple[Example, ...]:
    """Examples that do not contradict each other, each region once.

    Args:
        examples: as read.
        source: where they come from, for errors.

    Raises:
        UsageError: where there are none, a region has two names, or an image is missing.
    """
    kept: dict[tuple[Any, ...], Example] = {}
    for example in examples:
        region = (str(example.image), example.box, repr(example.mask), example.point)
        other = kept.setdefault(region, example)
        if other.name != example.name:
            raise UsageError(
                f"the same region is {other.name!r} in {other.place} and {example.name!r} in {example.place}; "
                "leave one of them out"
            )
    if not kept:
        raise UsageError(f"there is no example in {source}; name at least one region of each of two classes")
    images = dict.fromkeys(example.image for example in kept.values())
    missing = [image for image in images if not image.is_file()]
    if missing:
        cure = "copy them here and name the copies" if was_url(missing[0]) else "name their folder with --images"
        raise UsageError(
            f"{len(missing)} of {len(images)} images of {source} are missing, the first one {missing[0]}; {cure}"
        )
    return tuple(kept.values())


def numbers(values: Any, count: int | None, place: str, what: str) -> tuple[float, ...]:
    """Finite numbers of a file.

    Args:
        values: a list of them.
        count: how many there are; None for any number.
        place: where they stand, for errors.
        what: they are, for errors.

    Raises:
        UsageError: where they are something else.
    """
    fine = isinstance(values, Sequence) and not isinstance(values, str) and count in (None, len(values))
    try:
        found = tuple(float(value) for value in values) if fine else ()
    except (TypeError, ValueError, OverflowError):
        found = ()
    if not found or not np.isfinite(found).all():
        wanted = f"{count} numbers" if count else "numbers"
        raise UsageError(f"{place}: {what} must be {wanted}; got {shortened(repr(values), 80)}")
    return found
