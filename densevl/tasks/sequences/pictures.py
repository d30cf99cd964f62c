"""Sequences as pictures: a few of their frames side by side."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from densevl.core.drawing.sheets import beside
from densevl.datasets.examples import frames_of

__all__ = ["few_frames", "strip"]

GAP = 2
"""Paper between two frames, in pixels."""


def strip(path: Path, side: int) -> UInt8[np.ndarray, "h w 3"]:
    """Four frames of a sequence in a row; see :func:`few_frames`."""
    return beside(few_frames(path, side), GAP)


def few_frames(path: Path, side: int, count: int = 4) -> list[UInt8[np.ndarray, "h w 3"]]:
    """Frames of a sequence, evenly from the first to the last, made smaller.

    Args:
        path: a video, an archive, or a folder of frames.
        side: longer side of a frame in the picture, in pixels.
        count: of frames, fewer where there are fewer.

    Raises:
        ImageError: where a frame cannot be read.
        UsageError: where there is no frame.
    """
    frames = frames_of(path)
    places = np.unique(np.linspace(0, len(frames) - 1, count).round().astype(int)).tolist()
    return [_fitted(frames[place].read(), side) for place in places]


def _fitted(image: UInt8[np.ndarray, "H W 3"], side: int) -> UInt8[np.ndarray, "h w 3"]:
    scale = side / max(image.shape[:2])
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST)
