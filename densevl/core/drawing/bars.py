"""Bars side by side, drawn by Matplotlib."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import UInt8

from densevl.core.drawing.figure import new_figure, pixels_of
from densevl.core.errors import UsageError
from densevl.core.palette import palette

__all__ = ["draw_bars"]

WIDTH, HEIGHT, ROOM = 776, 488, 0.8
"""Size of the picture in pixels, and the part of a group's place that its bars fill."""


def draw_bars(
    series: Mapping[str, Sequence[float]],
    groups: Sequence[str],
    title: str,
    y_label: str,
    level: float | None = None,
    level_name: str = "",
) -> UInt8[np.ndarray, "H W 3"]:
    """A bar of each series in each group, with the names of the series at the right.

    Args:
        series: values of the groups, 0 or more; nan for none.
        groups: names.
        title: above the picture.
        y_label: what the values are.
        level: height of a line across, such as that of guessing; None for none.
        level_name: of the line.

    Raises:
        UsageError: where there is no bar, a series has not one value a group, or one is negative or infinite.
    """
    values = [value for some in series.values() for value in some]
    fine = all(len(some) == len(groups) for some in series.values()) and all(
        math.isnan(value) or 0 <= value < math.inf for value in values
    )
    if not values or not fine:
        raise UsageError(f"bars need values from 0 on, one for each of {list(groups)}; got {dict(series)!r}")
    figure = new_figure(WIDTH, HEIGHT)
    axes, width = figure.add_subplot(), ROOM / len(series)
    for place, ((name, some), colour) in enumerate(zip(series.items(), palette(len(series)), strict=True)):
        left = np.arange(len(groups)) + (place - (len(series) - 1) / 2) * width
        axes.bar(left, some, 0.92 * width, color=[channel / 255 for channel in colour], label=name)
    if level is not None:
        axes.axhline(level, linestyle="--", color="black", linewidth=1, label=level_name)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, labelcolor="black")
    axes.set_xticks(range(len(groups)), list(groups))
    axes.set(title=title, ylabel=y_label, ylim=(0, None))
    axes.grid(axis="y", alpha=0.4)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return pixels_of(figure)
