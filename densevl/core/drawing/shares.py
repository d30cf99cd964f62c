"""Shares of a whole as bars, one below the other, drawn by Matplotlib."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import UInt8

from densevl.core.drawing.figure import new_figure, pixels_of

__all__ = ["draw_shares"]

COLOURS = ((0.18, 0.52, 0.47), (0.83, 0.42, 0.24), (0.80, 0.80, 0.78), (0.33, 0.45, 0.68))
"""Of the parts, in their order; they begin anew where there are more."""

WIDTH, BAR, ROOM = 776, 64, 130
"""Width of the picture, height of a bar and of what is above and below the bars, in pixels."""

LEAST = 0.06
"""Share from which on it is written into its part."""


def draw_shares(rows: Mapping[str, Mapping[str, float]], title: str) -> UInt8[np.ndarray, "H W 3"]:
    """A bar for each row, the first on top, whose parts are as long as their shares.

    Args:
        rows: shares in [0, 1] of the parts, by the name of the row; all rows have the same parts, in one order.
        title: above the picture.
    """
    figure = new_figure(WIDTH, ROOM + BAR * len(rows))
    axes = figure.add_subplot()
    names, begun = list(rows), np.zeros(len(rows))
    for index, part in enumerate(next(iter(rows.values()))):
        values = np.array([row[part] for row in rows.values()])
        colour = COLOURS[index % len(COLOURS)]
        axes.barh(range(len(rows)), values, left=begun, height=0.62, color=colour, label=part)
        ink = "white" if sum(colour) < 1.8 else "black"
        for place, (value, start) in enumerate(zip(values, begun, strict=True)):
            if value >= LEAST:
                axes.text(start + value / 2, place, f"{value:.0%}", ha="center", va="center", color=ink)
        begun = begun + values
    axes.set_yticks(range(len(rows)), names)
    axes.set(title=title, xlim=(0, 1), xlabel="share of the answers")
    axes.invert_yaxis()
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
    return pixels_of(figure)
