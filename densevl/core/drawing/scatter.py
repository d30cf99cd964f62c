"""Named points, drawn by Matplotlib."""

import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import UInt8

from densevl.core.drawing.figure import new_figure, pixels_of
from densevl.core.errors import UsageError
from densevl.core.palette import palette

__all__ = ["draw_scatter"]

WIDTH, HEIGHT = 776, 488
"""Size of the picture in pixels."""


def draw_scatter(
    points: Mapping[str, tuple[float, float]], title: str, x_label: str, y_label: str
) -> UInt8[np.ndarray, "H W 3"]:
    """Points over a logarithmic and a linear axis, with their names at the right, the highest first.

    Args:
        points: (x, y) of each name; x above 0.
        title: above the picture.
        x_label: what x is, under its axis.
        y_label: what y is, beside its axis.

    Raises:
        UsageError: where there is no point, one is not finite, or an x is not above 0.
    """
    if not points or not all(math.isfinite(x) and math.isfinite(y) and x > 0 for x, y in points.values()):
        raise UsageError(f"a picture of points needs some that are finite, with x above 0; got {dict(points)!r}")
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    figure = new_figure(WIDTH, HEIGHT)
    axes = figure.add_subplot()
    colours = dict(zip(points, palette(len(points)), strict=True))
    for name, (x, y) in sorted(points.items(), key=lambda entry: -entry[1][1]):
        axes.scatter([x], [y], color=[[channel / 255 for channel in colours[name]]], label=name, zorder=3)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, labelcolor="black")
    axes.set(title=title, xlabel=x_label, ylabel=y_label, xscale="log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(0.15)
    axes.grid(alpha=0.4)
    axes.spines[["top", "right"]].set_visible(False)
    return pixels_of(figure)
