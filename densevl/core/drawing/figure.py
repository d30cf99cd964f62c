"""A Matplotlib figure of a size in pixels, and its pixels."""

from typing import Any

import numpy as np
from jaxtyping import UInt8

__all__ = ["new_figure", "pixels_of"]

DOTS = 100
"""Pixels of an inch."""


def new_figure(width: int, height: int) -> Any:
    """An empty figure.

    Args:
        width: in pixels.
        height: in pixels.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # takes half a second, and few need pictures
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / DOTS, height / DOTS), dpi=DOTS, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def pixels_of(figure: Any) -> UInt8[np.ndarray, "H W 3"]:
    """What a figure shows, RGB."""
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()
