"""Several small line charts side by side with one legend, drawn by Matplotlib."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import UInt8

from densevl.core.drawing.figure import new_figure, pixels_of
from densevl.core.errors import UsageError
from densevl.core.palette import palette

__all__ = ["draw_panels"]

WIDTH, HEIGHT, ACROSS = 340, 300, 3
"""Size of a panel in pixels, and how many stand side by side."""

Points = Sequence[tuple[int | float, int | float]]


def draw_panels(
    panels: Mapping[str, Mapping[str, Points]], title: str, x_label: str, y_label: str, top: int | float | None = None
) -> UInt8[np.ndarray, "H W 3"]:
    """Panels of lines whose x are whole numbers, all with the same axes; a line has one colour in all of them.

    Args:
        panels: of each panel by its title the points (x, y) of each line by its name; points that are not finite are
            left out, and so is a panel without a point.
        title: above them all.
        x_label: what x is.
        y_label: what y is.
        top: end of the y axes; None for as much as the lines need.

    Raises:
        UsageError: where there is no point.
    """
    finite = {
        name: {line: [point for point in points if all(map(math.isfinite, point))] for line, points in lines.items()}
        for name, lines in panels.items()
    }
    drawn = {name: {line: own for line, own in lines.items() if own} for name, lines in finite.items()}
    drawn = {name: lines for name, lines in drawn.items() if lines}
    if not drawn:
        raise UsageError("a chart needs a point that is finite, and there is none")
    from matplotlib.ticker import MaxNLocator

    names = list(dict.fromkeys(line for lines in panels.values() for line in lines))
    colours = {name: [c / 255 for c in rgb] for name, rgb in zip(names, palette(len(names)), strict=True)}
    across = min(ACROSS, len(drawn))
    down = math.ceil(len(drawn) / across)
    figure = new_figure(WIDTH * across, HEIGHT * down + 60)
    grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, (name, lines) in zip(grid, drawn.items(), strict=False):
        for line, points in lines.items():
            axes.plot(*np.array(points).T, marker="o", markersize=4, color=colours[line], label=line)
        axes.set_title(name, fontsize=10)
        axes.set(xlabel=x_label, ylim=(0, top))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="y", alpha=0.4)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelbottom=True)
    for axes in grid[len(drawn) :]:
        axes.set_visible(False)
    figure.supylabel(y_label, fontsize=10)
    figure.suptitle(title)
    found = {line: artist for axes in grid for artist, line in zip(*axes.get_legend_handles_labels(), strict=True)}
    shown = [name for name in names if name in found]
    figure.legend([found[name] for name in shown], shown, loc="outside lower center", ncols=3, frameon=False)
    return pixels_of(figure)
