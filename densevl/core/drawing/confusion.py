"""The confusion of classes as a picture, drawn by Matplotlib."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64, UInt8

__all__ = ["draw_confusion"]

INCHES_A_CLASS, LEAST_INCHES = 0.17, 4.0
"""Height of the row of a class, and the least side of the matrix."""

MOST_WRITTEN = 30
"""Classes up to which the fractions are written into the cells."""


def draw_confusion(
    matrix: Int64[np.ndarray, "k k"], names: Sequence[str], counted: str = "pixels"
) -> UInt8[np.ndarray, "H W 3"]:
    """A picture of the classes that occur: a row shows where what is of a true class went, as fractions of it.

    Args:
        matrix: counts by true class (rows) and given class (columns).
        names: of the classes.
        counted: what is counted.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # takes half a second, and few need pictures
    from matplotlib.figure import Figure

    there = np.flatnonzero(matrix.sum(0) + matrix.sum(1))
    shown, words = matrix[np.ix_(there, there)], [names[label] for label in there.tolist()]
    totals = shown.sum(1, keepdims=True)
    fractions = np.divide(shown, totals, out=np.full(shown.shape, np.nan), where=totals > 0)
    side = max(LEAST_INCHES, INCHES_A_CLASS * len(there) * (2 if len(there) <= MOST_WRITTEN else 1))
    figure = Figure(figsize=(side + 2.5, side + 1.5), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    drawn = axes.imshow(fractions, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(there)), words, rotation=90, fontsize=8)
    axes.set_yticks(range(len(there)), words, fontsize=8)
    left_out = f", {len(names) - len(there)} that never occur are left out" if len(there) < len(names) else ""
    axes.set(title=f"{len(there)} classes{left_out}", xlabel="given class", ylabel="true class")
    if len(there) <= MOST_WRITTEN:
        for (row, column), value in np.ndenumerate(fractions):
            if value >= 0.005:
                colour = "white" if value > 0.6 else "black"
                axes.text(column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=7, color=colour)
    bar = figure.colorbar(drawn, ax=axes, shrink=min(1.0, 4 / side))
    bar.set_label(f"fraction of the {counted} of the true class")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
