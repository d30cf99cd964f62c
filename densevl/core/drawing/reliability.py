"""How often answers of a confidence are right, as a picture (Guo et al., ICML 2017), drawn by Matplotlib."""

import numpy as np
from jaxtyping import Float, UInt8

from densevl.core.drawing.figure import new_figure, pixels_of

__all__ = ["draw_reliability"]

WIDTH, HEIGHT = 520, 600
"""Size of the picture in pixels."""

_BAR, _LINE = (0.33, 0.53, 0.78), (0.35, 0.35, 0.35)


def draw_reliability(
    confidences: Float[np.ndarray, " bins"],
    accuracies: Float[np.ndarray, " bins"],
    weights: Float[np.ndarray, " bins"],
    title: str,
) -> UInt8[np.ndarray, "H W 3"]:
    """Accuracy over confidence above the share of the answers in each bin.

    Args:
        confidences: mean of each bin; nan where it is empty.
        accuracies: of each bin; nan where it is empty.
        weights: of the answers in each bin.
        title: above the picture.
    """
    edges = np.linspace(0, 1, len(weights) + 1)
    centres, width = (edges[1:] + edges[:-1]) / 2, edges[1]
    figure = new_figure(WIDTH, HEIGHT)
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    axes.plot([0, 1], [0, 1], linestyle="--", color=_LINE, label="as right as they say")
    axes.bar(centres, np.nan_to_num(accuracies), width=0.92 * width, color=_BAR)
    axes.plot(confidences, accuracies, "o", color="black", markersize=4, label="answers of a bin")
    axes.set(title=title, ylabel="fraction that is right", xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(loc="upper left", frameon=False)
    below.bar(centres, weights / max(weights.sum(), 1e-12), width=0.92 * width, color=_LINE)
    below.set(xlabel="confidence", ylabel="share of answers", ylim=(0, 1))
    for one in (axes, below):
        one.spines[["top", "right"]].set_visible(False)
    return pixels_of(figure)
