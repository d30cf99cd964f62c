"""Bar charts of figures between 0 and 1, drawn by Matplotlib."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import UInt8

from densevl.core.errors import UsageError
from densevl.core.palette import palette

__all__ = ["draw_bars"]

WIDTH, HEIGHT = 776, 400
"""Size of a chart in pixels."""

Number = int | float


def draw_bars(
    series: Mapping[str, Sequence[Number]], groups: Sequence[str], title: str, y_label: str
) -> UInt8[np.ndarray, "H W 3"]:
    """Bars side by side in groups, with their values above them.

    Args:
        series: a value in [0, 1] for each group, by the name of what it belongs to.
        groups: names of the groups, below them.
        title: above the chart.
        y_label: what the values are, beside their axis.

    Raises:
        UsageError: where there is no value, there is not one for each group, or one is outside.
    """
    values = [value for line in series.values() for value in line]
    if not values or any(len(line) != len(groups) for line in series.values()):
        raise UsageError(f"a chart needs a value for each of {', '.join(groups) or 'its groups'}; got {dict(series)!r}")
    if not all(math.isfinite(value) and 0 <= value <= 1 for value in values):
        raise UsageError(f"bars show values in [0, 1]; got {dict(series)!r}")
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # takes half a second, and few need charts
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH / 100, HEIGHT / 100), dpi=100, layout="constrained")
    axes, width = figure.add_subplot(), 0.8 / len(series)
    for place, ((name, line), colour) in enumerate(zip(series.items(), palette(len(series)), strict=True)):
        xs = np.arange(len(groups)) + (place - (len(series) - 1) / 2) * width
        bars = axes.bar(xs, line, 0.92 * width, color=[channel / 255 for channel in colour], label=name)
        axes.bar_label(bars, [f"{value:.2f}" for value in line], fontsize=8)
    axes.set_xticks(range(len(groups)), list(groups))
    axes.set(title=title, ylabel=y_label, ylim=(0, 1.08))
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=len(series), frameon=False)
    axes.grid(axis="y", alpha=0.4)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
