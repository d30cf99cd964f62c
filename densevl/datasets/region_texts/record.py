"""An image with what is written of it: its caption, and boxes with their words.

Convention: a box is (x0, y0, x1, y1) in pixels of the image as :func:`densevl.read_image` gives it (upright),
half-open. Sizes are (height, width).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from densevl.core.errors import UsageError
from densevl.core.geometry import Box
from densevl.core.images import decode_image, read_image

__all__ = ["RegionText", "RegionTextRecord"]


@dataclass(frozen=True)
class RegionText:
    """A box and the words for what is in it.

    Attributes:
        box: (x0, y0, x1, y1) in pixels, half-open.
        text: such as "a striped sponge".
        score: how sure the one was who drew it; 1 for people.

    Raises:
        UsageError: where the box is not finite, empty or reversed, or the text is empty.
    """

    box: tuple[int | float, int | float, int | float, int | float]
    text: str
    score: int | float = 1.0

    def __post_init__(self) -> None:
        if len(self.box) != 4 or not all(map(math.isfinite, self.box)):
            raise UsageError(f"a box is four finite numbers (x0, y0, x1, y1); got {self.box!r}")
        if not (self.box[0] < self.box[2] and self.box[1] < self.box[3]):
            raise UsageError(f"a box is x0 < x1 and y0 < y1; got {self.box!r}; is it (x, y, width, height)?")
        if not self.text.strip():
            raise UsageError(f"the box {self.box!r} has no text")


@dataclass(frozen=True)
class RegionTextRecord:
    """One image and its texts.

    Attributes:
        key: its name, unique in its collection, such as ``day1/cat``.
        image: the file, or the bytes of one (JPEG, PNG, WebP).
        size: (height, width) of the image.
        caption: of the whole image; None where there is none.
        regions: boxes with their words, none or many.
    """

    key: str
    image: Path | bytes
    size: tuple[int, int]
    caption: str | None = None
    regions: tuple[RegionText, ...] = ()

    @property
    def encoded_image(self) -> bytes:
        """The bytes of the file of the image."""
        return self.image if isinstance(self.image, bytes) else self.image.read_bytes()

    def read_image(self) -> UInt8[np.ndarray, "H W 3"]:
        """The image.

        Raises:
            ImageError: where it cannot be read.
        """
        return (
            decode_image(self.image, f"the image of {self.key}")
            if isinstance(self.image, bytes)
            else read_image(self.image)
        )

    def as_dict(self) -> dict[str, Any]:
        """Everything but the image, as values for JSON."""
        return {
            "key": self.key,
            "height": self.size[0],
            "width": self.size[1],
            "caption": self.caption,
            "regions": [{"box": list(item.box), "text": item.text, "score": item.score} for item in self.regions],
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], image: Path | bytes) -> "RegionTextRecord":
        """The record of what :meth:`as_dict` gave.

        Raises:
            UsageError: where something is missing or cannot be meant.
        """
        try:
            regions = tuple(RegionText(_box(item["box"]), item["text"], item["score"]) for item in content["regions"])
            size = int(content["height"]), int(content["width"])
            return cls(str(content["key"]), image, size, content["caption"], regions)
        except (KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"this is no record of region texts ({type(error).__name__}: {error})") from None


def _box(values: Any) -> Box:
    x0, y0, x1, y1 = map(float, values)
    return x0, y0, x1, y1
