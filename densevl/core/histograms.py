"""Colour histograms of the cells of an image: what a control that knows colours and places alone sees."""

import numpy as np
from jaxtyping import Float32, UInt8

__all__ = ["LEVELS", "colour_grid"]

LEVELS = 4
"""Levels of red, of green and of blue."""


def colour_grid(image: UInt8[np.ndarray, "H W 3"], side: int) -> Float32[np.ndarray, "bins rows columns"]:
    """Fractions of the pixels of each cell that have each colour; they sum to 1 in a cell.

    Args:
        image: RGB.
        side: rows and columns of the grid; a cell has at least one pixel, which cells of a small image share.
    """
    levels = (image // (256 // LEVELS)).astype(np.int64)
    colours = (levels[..., 0] * LEVELS + levels[..., 1]) * LEVELS + levels[..., 2]
    found = np.zeros((LEVELS**3, side, side), np.float32)
    rows, columns = (_cells(length, side) for length in colours.shape)
    for i, down in enumerate(rows):
        for j, across in enumerate(columns):
            cell = colours[down, across].ravel()
            found[:, i, j] = np.bincount(cell, minlength=LEVELS**3) / len(cell)
    return found


def _cells(length: int, side: int) -> list[slice]:
    """The pixels of each cell of a line, one or more."""
    starts = [i * length // side for i in range(side)]
    return [slice(start, max((i + 1) * length // side, start + 1)) for i, start in enumerate(starts)]
