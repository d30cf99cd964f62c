"""Images on one sheet for people: a table with named rows and columns, or tiles with captions below them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8

from densevl.core.drawing.lettering import FAINT, PAPER, letter, line_height, write
from densevl.core.errors import UsageError

__all__ = ["Tile", "beside", "contact_sheet", "tile_sheet"]

LETTER = 13
"""Height of letters, in pixels."""

TITLE = 22
"""Height of the letters of a title."""

GAP = 6
"""Paper between images, in pixels."""


def beside(pictures: Sequence[UInt8[np.ndarray, "_ _ 3"]], gap: int = 4 * GAP) -> UInt8[np.ndarray, "h w 3"]:
    """Images in a row on paper, their upper edges in a line.

    Args:
        pictures: of any sizes, one or more.
        gap: paper between them, in pixels.
    """
    height, width = max(len(one) for one in pictures), sum(one.shape[1] + gap for one in pictures) - gap
    paper, x = np.full((height, width, 3), PAPER, np.uint8), 0
    for one in pictures:
        paper[: one.shape[0], x : x + one.shape[1]] = one
        x += one.shape[1] + gap
    return paper


def contact_sheet(
    rows: Mapping[str, Sequence[UInt8[np.ndarray, "_ _ 3"]]], columns: Sequence[str], side: int = 160
) -> UInt8[np.ndarray, "h w 3"]:
    """Images in a table, each scaled to the same height, with the names of its rows and columns.

    Args:
        rows: the images of each row, of any sizes, by the row's name.
        columns: name of each column.
        side: height of the images on the sheet, in pixels.

    Raises:
        UsageError: where there is no image, or a row has not one for each column.
    """
    for name, pictures in rows.items():
        if len(pictures) != len(columns):
            raise UsageError(f"row {name!r} has {len(pictures)} pictures for {len(columns)} columns; give one for each")
    if not rows or not columns:
        raise UsageError("a contact sheet needs at least one picture")
    scaled = [[_scaled(picture, side) for picture in pictures] for pictures in rows.values()]
    width = max(picture.shape[1] for row in scaled for picture in row)
    names = [letter(name, LETTER, 2 * side) for name in rows]
    left, top = max(name.shape[1] for name in names) + 2 * GAP, line_height(LETTER) + 2 * GAP
    sheet = np.full((top + len(rows) * (side + GAP), left + len(columns) * (width + GAP), 3), PAPER, np.uint8)
    for j, column in enumerate(columns):
        write(sheet, letter(column, LETTER, width), GAP, left + j * (width + GAP))
    for i, (label, row) in enumerate(zip(names, scaled, strict=True)):
        y = top + i * (side + GAP)
        write(sheet, label, y + (side - label.shape[0]) // 2, GAP)
        for j, picture in enumerate(row):
            x = left + j * (width + GAP) + (width - picture.shape[1]) // 2
            sheet[y : y + side, x : x + picture.shape[1]] = picture
    return sheet


@dataclass(frozen=True, eq=False)
class Tile:
    """An image with two lines below it.

    Attributes:
        picture: square, of the size that it shall have.
        caption: the line that is read first.
        note: a fainter line.
    """

    picture: UInt8[np.ndarray, "s s 3"]
    caption: str
    note: str = ""


def tile_sheet(tiles: Sequence[Tile], title: str, note: str = "", columns: int = 5) -> UInt8[np.ndarray, "h w 3"]:
    """Images in rows with captions below them, under a title.

    Args:
        tiles: of one size; with none the sheet is the title alone.
        title: in large letters.
        note: a fainter line below it.
        columns: tiles in a row; a single row is as wide as it has tiles, and no less wide than the title.
    """
    side = tiles[0].picture.shape[0] if tiles else 8 * TITLE
    margin, gap, line = 2 * LETTER, LETTER, line_height(LETTER)
    across = max(1, min(columns, len(tiles)))
    head = letter(title, TITLE, 64 * TITLE)
    inner = max(across * (side + gap) - gap, min(head.shape[1], 24 * TITLE))
    top = margin + line_height(TITLE) + (line if note else 0) + gap
    below = 2 * line + gap // 2
    rows = -(-len(tiles) // across)
    sheet = np.full((top + rows * (side + below + gap) + margin // 2, inner + 2 * margin, 3), PAPER, np.uint8)
    write(sheet, letter(title, TITLE, inner), margin // 2, margin)
    write(sheet, letter(note, LETTER, inner), margin // 2 + line_height(TITLE), margin, FAINT)
    for place, tile in enumerate(tiles):
        row, column = divmod(place, across)
        y, x = top + row * (side + below + gap), margin + column * (side + gap)
        sheet[y : y + side, x : x + side] = tile.picture
        write(sheet, letter(tile.caption, LETTER, side), y + side + gap // 2, x)
        write(sheet, letter(tile.note, LETTER - 2, side), y + side + gap // 2 + line, x, FAINT)
    return sheet


def _scaled(picture: UInt8[np.ndarray, "_ _ 3"], side: int) -> UInt8[np.ndarray, "_ _ 3"]:
    width = max(1, round(picture.shape[1] * side / picture.shape[0]))
    smooth = cv2.INTER_AREA if picture.shape[0] > side else cv2.INTER_NEAREST
    return cv2.resize(picture, (width, side), interpolation=smooth)
