"""Images for people: labels over an image, named where there is room, with a legend that a stranger can read."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Int, Int32, Integer, UInt8

from densevl.core.drawing.legend import LegendEntry, attach_legend, letter_size, percent
from densevl.core.drawing.lettering import letter, write_rimmed
from densevl.core.errors import UsageError
from densevl.core.files import atomic_write

__all__ = ["blend_labels", "draw_overlay", "write_image"]

MOST_ENTRIES = 30
"""Classes in a legend; the others are counted in its last line."""

LEAST_SIDE = 320
"""Smaller images are enlarged by a whole factor, so that their legend is not larger than they are."""

SMOOTHING = 0.5
"""Standard deviation of the smoothing of borders, in pixels."""

LONGEST_NAME = 16
"""Width of the longest names in areas, in heights of their letters; longer ones are cut."""

PLACING = 320
"""Longer side of the label map in which places for names are looked for, in pixels."""

MUTING = 0.7
"""Fraction of its own colour that the image loses under the labels."""

_GREY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R BT.601)."""

_EXACT = 1 << 24
"""Pixels up to which OpenCV counts exactly: it counts in float32."""


def draw_overlay(
    image: UInt8[np.ndarray, "H W 3"],
    labels: Integer[np.ndarray, "_ _"],
    names: Sequence[str],
    palette: Sequence[tuple[int, int, int]],
    *,
    alpha: float = 0.55,
    legend: bool = True,
) -> UInt8[np.ndarray, "h w 3"]:
    """An RGB image with the colours of its labels laid over it, and a legend under or beside it.

    The legend lists the classes that are there with their fraction of the image, the largest first. It stands under
    wide images and to the right of others. Images below 320 pixels are enlarged by a whole factor first.

    Args:
        image: the image, RGB.
        labels: class of each pixel; what lies outside 0 .. len(names) - 1 counts as unlabelled and keeps its colour.
        names: what the legend calls the classes.
        palette: colour of each class.
        alpha: weight of the label colour in the mixture, in [0, 1].
        legend: without it the result has the size of the image.

    Raises:
        UsageError: where sizes or lengths disagree, or alpha is out of range.
    """
    _check(image, labels, names, palette, alpha)
    painted = _Painted.of(labels, palette)
    if not legend:
        return painted.over(image, alpha)
    entries = _entries(painted, names, palette)
    factor = math.ceil(LEAST_SIDE / max(labels.shape))
    if factor > 1:
        image, painted = _enlarged(image, factor), painted.enlarged(factor)
    picture = painted.over(image, alpha)
    _name_areas(picture, painted, names)
    return attach_legend(picture, entries)


def blend_labels(
    image: UInt8[np.ndarray, "H W 3"],
    labels: Integer[np.ndarray, "H W"],
    palette: Sequence[tuple[int, int, int]],
    alpha: float,
) -> UInt8[np.ndarray, "H W 3"]:
    """``(1 - alpha) * muted image + alpha * colour``; negative labels leave the image as it is.

    The image loses most of its own colour first, so that each area looks like its swatch in the legend.
    """
    return _Painted.of(labels, palette).blended(image, alpha)


@dataclass(frozen=True, eq=False)
class _Painted:
    """A label map by the classes that are in it, and as colours.

    Attributes:
        members: the classes in the label map, ascending.
        counts: pixels of each of them.
        places: place of the class of each pixel among them, and behind the last one where a pixel has none.
        colours: of each pixel, RGB.
    """

    members: Int[np.ndarray, " n"]
    counts: Int[np.ndarray, " n"]
    places: UInt8[np.ndarray, "H W"] | Int32[np.ndarray, "H W"]
    colours: UInt8[np.ndarray, "H W 3"]

    @classmethod
    def of(cls, labels: Integer[np.ndarray, "_ _"], palette: Sequence[tuple[int, int, int]]) -> "_Painted":
        """Of a label map; what is no class of the palette is unlabelled."""
        count = len(palette)
        if labels.min() < -1 or labels.max() >= count:
            labels = np.where((labels >= 0) & (labels < count), labels, -1)
        few = count < 256
        values = labels.astype(np.uint8) if few else labels  # -1 becomes 255, which is no class then
        counts = _histogram(values)[:count] if few else np.bincount(values.ravel() + 1, minlength=count + 1)[1:]
        members = np.flatnonzero(counts)
        table: Any = np.full(256 if few else count + 1, len(members), np.uint8 if len(members) < 256 else np.int32)
        table[members] = np.arange(len(members))
        places: Any = cv2.LUT(values, table) if few else table.take(labels, mode="wrap")  # -1 takes the last one
        some = np.array(palette, np.uint8)[members]
        if len(members) < 256:
            colours = np.zeros((256, 1, 3), np.uint8)
            colours[: len(members), 0] = some
            return cls(members, counts[members], places, cv2.applyColorMap(places, colours))
        return cls(members, counts[members], places, np.vstack([some, np.zeros((1, 3), np.uint8)])[places])

    @property
    def is_whole(self) -> bool:
        """True where every pixel has a class."""
        return int(self.counts.sum()) == self.places.size

    def enlarged(self, factor: int) -> "_Painted":
        """Each pixel as a square of pixels; the counts stay those of the label map."""
        return replace(self, places=_enlarged(self.places, factor), colours=_enlarged(self.colours, factor))

    def over(self, image: UInt8[np.ndarray, "H W 3"], alpha: float) -> UInt8[np.ndarray, "H W 3"]:
        """An image under the colours, with the borders of the areas."""
        return self.outlined(self.blended(image, alpha))

    def blended(self, image: UInt8[np.ndarray, "H W 3"], alpha: float) -> UInt8[np.ndarray, "H W 3"]:
        """An image under the colours."""
        muted = cv2.transform(image, (1 - MUTING) * np.eye(3) + MUTING * np.array(_GREY))
        mixed = cv2.addWeighted(muted, 1 - alpha, self.colours, alpha, 0)
        if not self.is_whole:
            cv2.copyTo(image, (self.places == len(self.members)).view(np.uint8), mixed)
        return mixed

    def outlined(self, picture: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W 3"]:
        """A picture with the border of each area in its full colour, about one pixel for 500 of the image's side.

        The border is smooth: it is blurred as colours times coverage, beside the coverage.
        """
        places = self.places
        border = np.zeros(places.shape, np.uint8)
        down, right = places[1:] != places[:-1], places[:, 1:] != places[:, :-1]
        border[1:] |= down
        border[:-1] |= down
        border[:, 1:] |= right
        border[:, :-1] |= right
        width = round(math.sqrt(places.size) / 500)
        if width > 1:
            cv2.dilate(border, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width)), border)
        if not self.is_whole:
            border[places == len(self.members)] = 0
        np.negative(border, out=border)  # 1 becomes 255
        line = cv2.GaussianBlur(cv2.copyTo(self.colours, border), (3, 3), SMOOTHING)
        uncovered = cv2.bitwise_not(cv2.GaussianBlur(border, (3, 3), SMOOTHING))
        rest = cv2.multiply(picture, cv2.cvtColor(uncovered, cv2.COLOR_GRAY2RGB), scale=1 / 255)
        return cv2.add(rest, line)


def _histogram(values: UInt8[np.ndarray, "H W"]) -> Int[np.ndarray, " 256"]:
    """Pixels of each value; unlike NumPy's counting it needs no copy in 64 bits."""
    rows = max(1, _EXACT // values.shape[1])
    strips = (values[start : start + rows] for start in range(0, len(values), rows))
    counts = [cv2.calcHist([strip], [0], None, [256], [0, 256]) for strip in strips]
    return np.sum(counts, 0, dtype=np.int64).ravel()


def _enlarged(image: np.ndarray, factor: int) -> np.ndarray:
    size = (image.shape[1] * factor, image.shape[0] * factor)
    return cv2.resize(image, size, interpolation=cv2.INTER_NEAREST)


def _entries(painted: _Painted, names: Sequence[str], palette: Sequence[tuple[int, int, int]]) -> list[LegendEntry]:
    pixels = painted.places.size
    order = np.argsort(-painted.counts, kind="stable").tolist()
    shown = order if len(order) <= MOST_ENTRIES else order[: MOST_ENTRIES - 1]
    members, shares = painted.members.tolist(), (painted.counts / pixels).tolist()
    entries = [LegendEntry(names[members[i]], percent(shares[i]), palette[members[i]]) for i in shown]
    if len(shown) < len(order):
        rest = int(painted.counts[order[len(shown) :]].sum())
        entries.append(LegendEntry(f"+ {len(order) - len(shown)} more", percent(rest / pixels), None))
    unlabelled = pixels - int(painted.counts.sum())
    if unlabelled:
        entries.append(LegendEntry("unlabelled", percent(unlabelled / pixels), None))
    return entries


def _name_areas(picture: UInt8[np.ndarray, "H W 3"], painted: _Painted, names: Sequence[str]) -> None:
    """Write the name of each class into an area of its own, where one has room for it; changes the picture."""
    size, shape = letter_size(picture), painted.places.shape
    factor = min(1, PLACING / max(shape))
    small = cv2.resize(
        painted.places,
        (max(1, round(factor * shape[1])), max(1, round(factor * shape[0]))),
        interpolation=cv2.INTER_NEAREST,
    )
    for place, label in enumerate(painted.members.tolist()):
        mask = (small == place).view(np.uint8)
        left, top, width, height = cv2.boundingRect(mask)
        if width < factor * size or height < factor * size:  # no letter has room
            continue
        text = letter(names[label], size, LONGEST_NAME * size)
        box = [math.ceil(factor * (side + size)) for side in text.shape]
        if height < box[0] or width < box[1]:
            continue
        mask = cv2.copyMakeBorder(mask[top : top + height, left : left + width], 1, 1, 1, 1, cv2.BORDER_CONSTANT)
        room = cv2.erode(mask, np.ones(box, np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
        if not room.any():
            continue
        depth = cv2.distanceTransform(mask, cv2.DIST_L2, 3) * room
        y, x = np.unravel_index(np.argmax(depth), mask.shape)
        above, before = (
            round((start - 1 + place) / factor - side / 2)
            for start, place, side in zip((top, left), (int(y), int(x)), text.shape, strict=True)
        )
        write_rimmed(picture, names[label], size, LONGEST_NAME * size, max(0, above), max(0, before))


def write_image(path: str | os.PathLike[str], image: UInt8[np.ndarray, "H W 3"], settings: Sequence[int] = ()) -> None:
    """Write an RGB image; the suffix chooses the format: ``.png``, ``.jpg``, ``.webp`` and what else OpenCV writes.

    Args:
        path: of the file.
        image: the image.
        settings: of OpenCV's encoder, such as ``(cv2.IMWRITE_JPEG_QUALITY, 90)``.

    Raises:
        OutputError: where the file cannot be written.
        UsageError: where the suffix is not known.
    """
    path = Path(path)
    try:
        done, content = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), list(settings))
    except cv2.error:
        done = False
    if not done:
        raise UsageError(f"cannot write pictures as {path.suffix or path.name!r}; use .png or .jpg")
    with atomic_write(path) as temporary:
        temporary.write_bytes(content.tobytes())


def _check(
    image: np.ndarray,
    labels: np.ndarray,
    names: Sequence[str],
    palette: Sequence[tuple[int, int, int]],
    alpha: float,
) -> None:
    if image.shape[:2] != labels.shape:
        raise UsageError(f"labels have size {labels.shape}; expected that of the image, {image.shape[:2]}")
    if len(names) != len(palette):
        raise UsageError(f"expected one colour a class; got {len(names)} names and {len(palette)} colours")
    if not 0 <= alpha <= 1:
        raise UsageError(f"alpha must lie between 0 and 1; got {alpha}")
