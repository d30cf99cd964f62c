"""Figures over the logarithm of counts, with a line through them and the means of decades, drawn by Matplotlib."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, UInt8

from densevl.core.drawing.figure import new_figure, pixels_of

__all__ = ["draw_trend"]

WIDTH, HEIGHT = 640, 460
"""Size of the picture in pixels."""

POINT, LINE, MEAN = (0.18, 0.52, 0.47), (0.25, 0.25, 0.25), (0.83, 0.42, 0.24)


def draw_trend(
    counts: Int[np.ndarray, " n"],
    values: Float[np.ndarray, " n"],
    line: tuple[float, float],
    decades: Sequence[tuple[int, float, float]],
    title: str,
    y_label: str,
) -> UInt8[np.ndarray, "H W 3"]:
    """Points over a logarithmic axis, their line, and the mean of each decade with its standard error.

    Args:
        counts: above 0.
        values: of the points, not negative.
        line: slope over log10 of the count, and value at the count 1; nan for no line.
        decades: power of ten, mean and standard error of each; nan for no error.
        title: above the picture.
        y_label: what the values are.
    """
    figure = new_figure(WIDTH, HEIGHT)
    axes = figure.add_subplot()
    alpha = 0.75 if len(counts) < 100 else 0.25
    axes.scatter(counts, values, s=26, color=POINT, alpha=alpha, linewidths=0, label="a class")
    slope, start = line
    if slope == slope:
        ends = np.array([counts.min(), counts.max()])
        axes.plot(ends, start + slope * np.log10(ends), color=LINE, linewidth=1.6, label="line through the classes")
    if decades:
        powers, means, errors = np.array(decades, float).T
        middles = 10 ** (powers + 0.5)
        axes.errorbar(
            middles, means, np.nan_to_num(errors), fmt="D", color=MEAN, capsize=4, label="mean of a decade", zorder=4
        )
    axes.set(title=title, xlabel="how often its concept occurs", ylabel=y_label, xscale="log")
    axes.set_ylim(0, max(1.02 * float(values.max()), 1e-6))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return pixels_of(figure)
