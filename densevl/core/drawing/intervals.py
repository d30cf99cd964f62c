"""Means with their confidence intervals, side by side, drawn by Matplotlib."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import UInt8

from densevl.core.drawing.figure import new_figure, pixels_of

__all__ = ["Mean", "draw_intervals"]

Mean = tuple[str, int, float, float, float]
"""Name, number of values, mean, and both ends of its interval; nan where one is not known."""

WIDTH, HEIGHT = 560, 400
"""Size of the picture in pixels."""

COLOURS = ((0.18, 0.52, 0.47), (0.83, 0.42, 0.24), (0.33, 0.45, 0.68))
"""Of the series, in their order."""

MANY = 6
"""Names from which on they are turned."""


def draw_intervals(series: Mapping[str, Sequence[Mean]], title: str, y_label: str) -> UInt8[np.ndarray, "H W 3"]:
    """A point with its interval for each mean, and how many values it is of.

    Args:
        series: means by the name of the series; all series have the same names, in one order, and at most three are
            told apart by colour.
        title: above the picture.
        y_label: what the means are, fractions in [0, 1].
    """
    figure = new_figure(WIDTH, HEIGHT)
    axes = figure.add_subplot()
    first = next(iter(series.values()))
    step = 0.22
    for index, (name, means) in enumerate(series.items()):
        places = np.arange(len(means)) + step * (index - (len(series) - 1) / 2)
        centres, low, high = np.array([mean[2:] for mean in means], float).reshape(-1, 3).T
        known, ends = ~np.isnan(centres), ~np.isnan(low) & ~np.isnan(high)
        colour = COLOURS[index % len(COLOURS)]
        axes.vlines(places[ends], low[ends], high[ends], color=colour, linewidth=2.2)
        axes.plot(places[known], centres[known], "o", color=colour, markersize=7, label=name)
    labels = [f"{mean[0]}\n{mean[1]}" for mean in first]
    many = len(labels) > MANY
    axes.set_xticks(range(len(labels)), labels, rotation=60 if many else 0, fontsize=8 if many else 10)
    axes.set(title=title, ylabel=y_label, xlim=(-0.6, len(labels) - 0.4), ylim=(0, 1.02))
    axes.grid(axis="y", alpha=0.4)
    axes.spines[["top", "right"]].set_visible(False)
    if len(series) > 1:
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return pixels_of(figure)
