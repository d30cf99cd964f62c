"""The confusion matrix of an evaluation as a file of numbers and as a picture."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8
from torch import Tensor

from densevl.core.drawing.overlay import write_image
from densevl.core.files import atomic_write

__all__ = ["draw_confusion", "write_confusion"]

INCHES_A_CLASS, LEAST_INCHES = 0.17, 4.0
"""Height of the row of a class, and the least side of the matrix."""

MOST_WRITTEN = 30
"""Classes up to which the fractions are written into the cells."""


def write_confusion(path: str | Path, matrix: Int64[Tensor, "k k"], names: Sequence[str]) -> None:
    """Write pixel counts to ``path``, a ``.csv`` or a ``.json``, and a picture beside it, ``.png``.

    In the CSV a row is a true class and a column a given one, each named by its class. The JSON has ``classes`` and
    ``pixels``.

    Args:
        path: of the numbers.
        matrix: pixels by true class (rows) and given class (columns).
        names: of the classes.

    Raises:
        OutputError: where a file cannot be written.
    """
    path, counts = Path(path), matrix.tolist()
    with atomic_write(path) as temporary:
        if path.suffix == ".json":
            text = json.dumps({"classes": list(names), "pixels": counts}, ensure_ascii=False)
            temporary.write_text(text + "\n", encoding="utf-8")
        else:
            with temporary.open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(["true \\ given", *names])
                writer.writerows([name, *row] for name, row in zip(names, counts, strict=True))
    write_image(path.with_suffix(".png"), draw_confusion(matrix.numpy(), names))


def draw_confusion(matrix: Int64[np.ndarray, "k k"], names: Sequence[str]) -> UInt8[np.ndarray, "H W 3"]:
    """A picture of the classes that occur: a row shows where the pixels of a true class went, as fractions of them.

    Args:
        matrix: pixels by true class (rows) and given class (columns).
        names: of the classes.
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
    bar.set_label("fraction of the pixels of the true class")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
