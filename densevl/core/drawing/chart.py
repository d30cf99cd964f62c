"""Line charts, drawn by Matplotlib."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import UInt8

from densevl.core.drawing.figure import new_figure, pixels_of
from densevl.core.errors import UsageError
from densevl.core.palette import palette

__all__ = ["draw_chart"]

WIDTH, HEIGHT = 776, 488
"""Size of a chart in pixels."""

Number = int | float
Points = Sequence[tuple[Number, Number]]


def draw_chart(
    series: Mapping[str, Points], title: str, x_label: str, y_label: str, names: Mapping[Number, str] | None = None
) -> UInt8[np.ndarray, "H W 3"]:
    """Lines over two linear axes that begin at 0, with their names at the right, the highest end first.

    Args:
        series: points (x, y) of each line, not negative.
        title: above the chart.
        x_label: what x is, under its axis.
        y_label: what y is, beside its axis.
        names: labels of places of the x axis, in the place of round numbers.

    Raises:
        UsageError: where there is no point, or one is negative or not finite.
    """
    points = [point for line in series.values() for point in line]
    if not points or not all(math.isfinite(value) and value >= 0 for point in points for value in point):
        raise UsageError(f"a chart needs points that are finite and not negative; got {dict(series)!r}")

    figure = new_figure(WIDTH, HEIGHT)
    axes = figure.add_subplot()
    colours = dict(zip(series, palette(len(series)), strict=True))
    drawn = {name: np.array(line) for name, line in series.items() if line}
    for name, line in sorted(drawn.items(), key=lambda entry: -entry[1][-1, 1]):
        colour = [channel / 255 for channel in colours[name]]
        axes.plot(*line.T, marker="o", color=colour, clip_on=False, label=name)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, labelcolor="black")
    if names:
        axes.set_xticks(list(names), list(names.values()))
    axes.set(title=title, xlabel=x_label, ylabel=y_label, xlim=(0, None), ylim=(0, None))
    axes.grid(axis="y", alpha=0.4)
    axes.spines[["top", "right"]].set_visible(False)
    return pixels_of(figure)
