"""Images for people: labels over an image, named where there is room, with a legend that a stranger can read."""

import math
import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Integer, UInt8

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

PLACING = 512
"""Longer side of the label map in which places for names are looked for, in pixels."""

MUTING = 0.7
"""Fraction of its own colour that the image loses under the labels."""


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
    labels = np.where((labels >= 0) & (labels < len(names)), labels, -1).astype(np.int32)
    if not legend:
        return _outline(blend_labels(image, labels, palette, alpha), labels, palette)
    entries = _entries(labels, names, palette)
    factor = math.ceil(LEAST_SIDE / max(labels.shape))
    size = (labels.shape[1] * factor, labels.shape[0] * factor)
    if factor > 1:
        image = cv2.resize(image, size, interpolation=cv2.INTER_NEAREST)
        labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
    picture = _outline(blend_labels(image, labels, palette, alpha), labels, palette)
    _name_areas(picture, labels, names)
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
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    muted = cv2.addWeighted(image, 1 - MUTING, grey, MUTING, 0)
    colours = np.take(np.array(palette, np.uint8), labels, axis=0, mode="clip")  # -1 takes some colour, undone below
    mixed = cv2.addWeighted(muted, 1 - alpha, colours, alpha, 0)
    cv2.copyTo(image, (labels < 0).view(np.uint8), mixed)
    return mixed


def _outline(
    picture: UInt8[np.ndarray, "H W 3"], labels: Integer[np.ndarray, "H W"], palette: Sequence[tuple[int, int, int]]
) -> UInt8[np.ndarray, "H W 3"]:
    """Draw the border of each area in its full colour and smooth, about one pixel for 500 of the image's side."""
    border = np.zeros(labels.shape, np.uint8)
    down, right = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    border[1:] |= down
    border[:-1] |= down
    border[:, 1:] |= right
    border[:, :-1] |= right
    width = round(math.sqrt(labels.size) / 500)
    if width > 1:
        cv2.dilate(border, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width)), border)
    border[labels < 0] = 0
    line = np.dstack([np.take(np.array(palette, np.uint8), labels, axis=0, mode="clip"), np.full_like(border, 255)])
    line[border == 0] = 0
    line = cv2.GaussianBlur(line, (3, 3), SMOOTHING)  # colours times coverage, and the coverage
    rest = cv2.multiply(picture, cv2.cvtColor(255 - line[..., 3], cv2.COLOR_GRAY2RGB), scale=1 / 255)
    return cv2.add(rest, line[..., :3])


def _entries(labels: np.ndarray, names: Sequence[str], palette: Sequence[tuple[int, int, int]]) -> list[LegendEntry]:
    counts = np.bincount(labels.ravel() + 1, minlength=len(names) + 1)
    unlabelled, counts = counts[0], counts[1:]
    order = [int(label) for label in np.argsort(-counts, kind="stable") if counts[label]]
    shown = order if len(order) <= MOST_ENTRIES else order[: MOST_ENTRIES - 1]
    entries = [LegendEntry(names[label], percent(counts[label] / labels.size), palette[label]) for label in shown]
    if len(shown) < len(order):
        rest = sum(counts[label] for label in order[len(shown) :])
        entries.append(LegendEntry(f"+ {len(order) - len(shown)} more", percent(rest / labels.size), None))
    if unlabelled:
        entries.append(LegendEntry("unlabelled", percent(unlabelled / labels.size), None))
    return entries


def _name_areas(picture: UInt8[np.ndarray, "H W 3"], labels: Integer[np.ndarray, "H W"], names: Sequence[str]) -> None:
    """Write the name of each class into an area of its own, where one has room for it; changes the picture."""
    size = letter_size(picture)
    factor = min(1, PLACING / max(labels.shape))
    shape = [max(1, round(factor * side)) for side in labels.shape]
    small = cv2.resize(labels, shape[::-1], interpolation=cv2.INTER_NEAREST)
    for label in np.unique(small[small >= 0]):
        text = letter(names[label], size, LONGEST_NAME * size)
        box = [math.ceil(factor * (side + size)) for side in text.shape]
        mask = (small == label).astype(np.uint8)
        depth = cv2.distanceTransform(cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT), cv2.DIST_L2, 3)
        room = cv2.erode(mask, np.ones(box, np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
        y, x = np.unravel_index(np.argmax(depth[1:-1, 1:-1] * room), mask.shape)
        if room[y, x]:
            top, left = (round(place / factor - side / 2) for place, side in zip((y, x), text.shape, strict=True))
            write_rimmed(picture, text, max(0, top), max(0, left))


def write_image(path: str | os.PathLike[str], image: UInt8[np.ndarray, "H W 3"]) -> None:
    """Write an RGB image; the suffix chooses the format: ``.png``, ``.jpg``, ``.webp`` and what else OpenCV writes.

    Raises:
        OutputError: where the file cannot be written.
        UsageError: where the suffix is not known.
    """
    path = Path(path)
    try:
        done, content = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
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
