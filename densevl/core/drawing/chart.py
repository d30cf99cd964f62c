"""Line charts, drawn without a plotting library."""

import math
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from jaxtyping import UInt8

from densevl.core.drawing.lettering import letter, line_height
from densevl.core.errors import UsageError
from densevl.core.palette import palette

__all__ = ["draw_chart"]

SIZE, MARGIN, LETTERS = (360, 520), 64, 15
INK, FAINT, PAPER = (32, 33, 36), (215, 218, 222), (255, 255, 255)

Number = int | float
Points = Sequence[tuple[Number, Number]]


def draw_chart(
    series: Mapping[str, Points], title: str, x_label: str, y_label: str, names: Mapping[Number, str] | None = None
) -> UInt8[np.ndarray, "H W 3"]:
    """Lines from the origin's corner of a chart, with their names beside their ends.

    Both axes begin at 0 and are linear.

    Args:
        series: points (x, y) of each line, not negative.
        title: above the chart.
        x_label: under it.
        y_label: what y is, at its upper end.
        names: what is written at places of the x axis; its values where there are none.

    Raises:
        UsageError: where there is no point, or one is negative or not finite.
    """
    points = [point for line in series.values() for point in line]
    if not points or not all(math.isfinite(value) and value >= 0 for point in points for value in point):
        raise UsageError(f"a chart needs points that are finite and not negative; got {dict(series)!r}")
    right, top = max(x for x, _ in points), _round_up(max(y for _, y in points))
    paper = np.full((SIZE[0] + 2 * MARGIN, SIZE[1] + 4 * MARGIN, 3), PAPER, np.uint8)

    def place(x: Number, y: Number) -> tuple[int, int]:
        return MARGIN + round(SIZE[1] * x / (right or 1)), MARGIN + SIZE[0] - round(SIZE[0] * y / (top or 1))

    for step in range(6):
        value = top * step / 5
        cv2.line(paper, place(0, value), place(right, value), FAINT, 1)
        _write(paper, f"{value:g}", place(0, value), align=1.0, shift=(-8, -0.5))
    for value in sorted({x for x, _ in points}):
        _write(paper, (names or {}).get(value, f"{value:g}"), place(value, 0), align=0.5, shift=(0, 0.1))
    ends = []
    for (name, line), colour in zip(series.items(), palette(len(series)), strict=True):
        corners = np.array([place(*point) for point in line], np.int32)
        cv2.polylines(paper, [corners], False, colour, 2, cv2.LINE_AA)
        for corner in corners.tolist():
            cv2.circle(paper, corner, 4, colour, cv2.FILLED, cv2.LINE_AA)
        ends.append((*corners[-1].tolist(), name, colour))
    below = paper.shape[0]
    for x, y, name, colour in sorted(ends, key=lambda end: -end[1]):  # from the lowest line up, none on another
        below = min(y, below - line_height(LETTERS))
        _write(paper, name, (x, below), shift=(10, -0.5), ink=colour)
    _write(paper, title, (MARGIN, MARGIN // 3), shift=(0, -0.5), size=18)
    _write(paper, y_label, (MARGIN, MARGIN), shift=(4, -1.2))
    _write(paper, x_label, place(right / 2, 0), align=0.5, shift=(0, 1.2))
    return paper


def _round_up(value: Number) -> float:
    """The next number whose fifth is short to write."""
    if value <= 0:
        return 1.0
    unit = 10.0 ** math.floor(math.log10(value))
    return next(unit * step for step in (1, 2, 2.5, 5, 7.5, 10) if unit * step >= value * (1 - 1e-9))


def _write(
    paper: np.ndarray,
    text: str,
    at: tuple[int, int],
    align: float = 0.0,
    shift: tuple[int, float] = (0, 0.0),
    size: int = LETTERS,
    ink: tuple[int, int, int] = INK,
) -> None:
    """Write a line at a point: the share ``align`` of it lies to the left; shifted by pixels right and lines down."""
    coverage = letter(text, size, paper.shape[1])
    x = max(0, at[0] + shift[0] - round(align * coverage.shape[1]))
    y = max(0, at[1] + round(shift[1] * coverage.shape[0]))
    place = paper[y : y + coverage.shape[0], x : x + coverage.shape[1]]
    amount = coverage[: place.shape[0], : place.shape[1], None] / 255
    place[:] = np.rint(place * (1 - amount) + np.array(ink) * amount)
