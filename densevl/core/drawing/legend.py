"""Legends: swatches, names and figures beside or under an image."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8

from densevl.core.drawing.lettering import FAINT, INK, ink_on, letter, line_height, printed, sheet, wrap, write

__all__ = ["LegendEntry", "attach_legend", "letter_size", "percent"]

LEAST_LETTER = 13
"""Height of the smallest letters, in pixels."""


@dataclass(frozen=True)
class LegendEntry:
    """A line of a legend.

    Attributes:
        name: on the left.
        share: fraction of the image as text, on the right.
        colour: of the swatch; None for what has none, such as the unlabelled.
        mark: a number or letter on the swatch.
    """

    name: str
    share: str
    colour: tuple[int, int, int] | None
    mark: str = ""


def letter_size(picture: UInt8[np.ndarray, "H W 3"]) -> int:
    """Height of the letters that suit an image, in pixels."""
    return max(LEAST_LETTER, round(0.026 * math.sqrt(picture.shape[0] * picture.shape[1])))


def percent(share: float) -> str:
    """A fraction as a figure of a legend."""
    if 0 < share < 0.001:
        return "< 0.1 %"
    return f"{100 * share:.1f} %" if share < 0.0995 else f"{100 * share:.0f} %"


def attach_legend(
    picture: UInt8[np.ndarray, "H W 3"], entries: Sequence[LegendEntry], title: str = "", size: int | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """The image with a legend under it where it is wide, else to its right.

    Args:
        picture: the image, RGB.
        entries: lines of the legend, one or more.
        title: above them, on up to three lines.
        size: height of the letters in pixels; None for one that suits the image.
    """
    height, width = picture.shape[:2]
    size = size or letter_size(picture)
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
    head = wrap(title, size, max(columns * column, width if below else 0) - 2 * size, most=3)
    lines = len(head) * line_height(size) + (size // 2 if head else 0)
    strip = sheet(lines + rows * step + size, columns * column)
    if head:
        strip = _widened(strip, max(line.shape[1] for line in head) + 2 * size)
    for index, line in enumerate(head):
        write(strip, line, size // 2 + index * line_height(size), size)
    for index, cell in enumerate(cells):
        left, top = divmod(index, rows)
        y, x = lines + top * step + (step + size - cell.shape[0]) // 2, left * column + size
        strip[y : y + cell.shape[0], x : x + cell.shape[1]] = cell
    return _join(picture, strip, axis=0 if below else 1)


def _cells(entries: Sequence[LegendEntry], size: int, widest: int) -> list[np.ndarray]:
    """The lines of the legend, all of one width: swatch, name, share."""
    gap, height = round(0.6 * size), line_height(size)
    marks = [letter(entry.mark, size, 4 * size) if entry.mark else None for entry in entries]
    swatch = max(round(1.1 * size), *(0 if mark is None else mark.shape[1] + size // 2 for mark in marks))
    shares = [printed(entry.share, size, widest // 2, FAINT) for entry in entries]
    share_width = max(share.shape[1] for share in shares)
    room = max(size, widest - swatch - share_width - 3 * gap)
    names = [printed(entry.name, size, room, INK if entry.colour is not None else FAINT) for entry in entries]
    name_width = max(name.shape[1] for name in names)
    cells = []
    for entry, mark, name, share in zip(entries, marks, names, shares, strict=True):
        cell = sheet(height, swatch + gap + name_width + 2 * gap + share_width)
        _put_swatch(cell, entry.colour, swatch, height if mark is not None else round(1.1 * size))
        if mark is not None and entry.colour is not None:
            write(cell, mark, 0, (swatch - mark.shape[1]) // 2, ink_on(entry.colour))
        cell[: name.shape[0], swatch + gap : swatch + gap + name.shape[1]] = name
        cell[: share.shape[0], cell.shape[1] - share.shape[1] :] = share
        cells.append(cell)
    return cells


def _put_swatch(cell: np.ndarray, colour: tuple[int, int, int] | None, width: int, height: int) -> None:
    top = (cell.shape[0] - height) // 2
    corners = (0, top), (width - 1, top + height - 1)
    if colour is not None:
        cv2.rectangle(cell, *corners, colour, cv2.FILLED)
    edge = FAINT if colour is None else tuple(channel * 3 // 4 for channel in colour)
    cv2.rectangle(cell, *corners, edge, max(1, height // 20))


def _widened(strip: np.ndarray, width: int) -> np.ndarray:
    """The strip with paper to its right where it is narrower."""
    missing = max(0, width - strip.shape[1])
    return np.pad(strip, ((0, 0), (0, missing), (0, 0)), constant_values=255)


def _join(picture: np.ndarray, strip: np.ndarray, axis: int) -> np.ndarray:
    """Both on white paper, one after the other along ``axis``, at its start along the other."""
    shape = [max(picture.shape[i], strip.shape[i]) for i in (0, 1)]
    shape[axis] = picture.shape[axis] + strip.shape[axis]
    paper = sheet(shape[0], shape[1])
    paper[: picture.shape[0], : picture.shape[1]] = picture
    y, x = (picture.shape[0], 0) if axis == 0 else (0, picture.shape[1])
    paper[y : y + strip.shape[0], x : x + strip.shape[1]] = strip
    return paper
