"""Images for people: labels over an image, with a legend that a stranger can read."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Integer, UInt8

from densevl.core.drawing.lettering import FAINT, INK, PAPER, letter, line_height, write
from densevl.core.errors import UsageError
from densevl.core.files import atomic_write

__all__ = ["LegendEntry", "attach_legend", "blend_labels", "draw_overlay", "write_image"]

MOST_ENTRIES = 30
"""Classes in a legend; the others are counted in its last line."""

LEAST_SIDE = 320
"""Smaller images are enlarged by a whole factor, so that their legend is not larger than they are."""

LEAST_LETTER = 13
"""Height of the smallest letters, in pixels."""

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
    """Draw the border of each area in its full colour, about one pixel for each 600 of the image's side."""
    border = np.zeros(labels.shape, np.uint8)
    down, right = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    border[1:] |= down
    border[:-1] |= down
    border[:, 1:] |= right
    border[:, :-1] |= right
    width = round(math.sqrt(labels.size) / 600)
    if width > 1:
        cv2.dilate(border, np.ones((width, width), np.uint8), border)
    inside = border.astype(bool) & (labels >= 0)
    picture[inside] = np.array(palette, np.uint8)[labels[inside]]
    return picture


@dataclass(frozen=True)
class LegendEntry:
    """A line of a legend.

    Attributes:
        name: on the left.
        share: fraction of the image as text, on the right.
        colour: of the swatch; None for what has none, such as the unlabelled.
    """

    name: str
    share: str
    colour: tuple[int, int, int] | None


def _entries(labels: np.ndarray, names: Sequence[str], palette: Sequence[tuple[int, int, int]]) -> list[LegendEntry]:
    counts = np.bincount(labels.ravel() + 1, minlength=len(names) + 1)
    unlabelled, counts = counts[0], counts[1:]
    order = [int(label) for label in np.argsort(-counts, kind="stable") if counts[label]]
    shown = order if len(order) <= MOST_ENTRIES else order[: MOST_ENTRIES - 1]
    entries = [LegendEntry(names[label], _percent(counts[label] / labels.size), palette[label]) for label in shown]
    if len(shown) < len(order):
        rest = sum(counts[label] for label in order[len(shown) :])
        entries.append(LegendEntry(f"+ {len(order) - len(shown)} more", _percent(rest / labels.size), None))
    if unlabelled:
        entries.append(LegendEntry("unlabelled", _percent(unlabelled / labels.size), None))
    return entries


def _percent(share: float) -> str:
    if share < 0.001:
        return "< 0.1 %"
    return f"{100 * share:.1f} %" if share < 0.0995 else f"{100 * share:.0f} %"


def attach_legend(picture: UInt8[np.ndarray, "H W 3"], entries: Sequence[LegendEntry]) -> UInt8[np.ndarray, "h w 3"]:
    """The image with a legend under it where it is wide, else to its right."""
    height, width = picture.shape[:2]
    size = max(LEAST_LETTER, round(0.026 * math.sqrt(height * width)))
    below = width > 1.2 * height
    cells = _cells(entries, size, widest=min(26 * size, max(width - 2 * size, 12 * size)) if below else 26 * size)
    step, column = round(1.25 * line_height(size)), cells[0].shape[1] + 2 * size
    if below:
        columns = min(len(cells), max(1, width // column))
        rows = -(-len(cells) // columns)
        columns = -(-len(cells) // rows)
        column = max(column, width // columns) if columns > 1 else column
    else:
        rows = min(len(cells), max(4, (height - size) // step))
        columns = -(-len(cells) // rows)
    strip = np.full((rows * step + size, columns * column, 3), PAPER, np.uint8)
    for index, cell in enumerate(cells):
        left, top = divmod(index, rows)
        y, x = top * step + (step + size - cell.shape[0]) // 2, left * column + size
        strip[y : y + cell.shape[0], x : x + cell.shape[1]] = cell
    return _join(picture, strip, axis=0 if below else 1)


def _cells(entries: Sequence[LegendEntry], size: int, widest: int) -> list[np.ndarray]:
    """The lines of the legend, all of one width: swatch, name, share."""
    swatch, gap = round(1.1 * size), round(0.6 * size)
    shares = [letter(entry.share, size, 8 * size) for entry in entries]
    share_width = max(share.shape[1] for share in shares)
    names = [letter(entry.name, size, widest - swatch - share_width - 3 * gap) for entry in entries]
    name_width = max(name.shape[1] for name in names)
    height = line_height(size)
    cells = []
    for entry, name, share in zip(entries, names, shares, strict=True):
        cell = np.full((height, swatch + gap + name_width + 2 * gap + share_width, 3), PAPER, np.uint8)
        _put_swatch(cell, entry.colour, swatch)
        write(cell, name, 0, swatch + gap, INK if entry.colour is not None else FAINT)
        write(cell, share, 0, cell.shape[1] - share.shape[1], FAINT)
        cells.append(cell)
    return cells


def _put_swatch(cell: np.ndarray, colour: tuple[int, int, int] | None, side: int) -> None:
    top = (cell.shape[0] - side) // 2
    corners = (0, top), (side - 1, top + side - 1)
    if colour is not None:
        cv2.rectangle(cell, *corners, colour, cv2.FILLED)
    edge = FAINT if colour is None else tuple(channel * 3 // 4 for channel in colour)
    cv2.rectangle(cell, *corners, edge, max(1, side // 20))


def _join(picture: np.ndarray, strip: np.ndarray, axis: int) -> np.ndarray:
    """Both on white paper, one after the other along ``axis``, at its start along the other."""
    shape = [max(picture.shape[i], strip.shape[i]) for i in (0, 1)]
    shape[axis] = picture.shape[axis] + strip.shape[axis]
    paper = np.full((*shape, 3), PAPER, np.uint8)
    paper[: picture.shape[0], : picture.shape[1]] = picture
    y, x = (picture.shape[0], 0) if axis == 0 else (0, picture.shape[1])
    paper[y : y + strip.shape[0], x : x + strip.shape[1]] = strip
    return paper


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
