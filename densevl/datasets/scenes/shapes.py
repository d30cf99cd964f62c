"""The shapes of the scenes, as signed distance fields.

A shape is a closed curve inside the unit disc. Its signed distance, positive inside, is tabulated once on a square
canvas; an object is drawn by warping that canvas, so that one path gives the hard mask (distance > 0), the
anti-aliased edge and the rim. Convention: x runs right, y runs down; distances are in radii.
"""

import functools

import cv2
import numpy as np
from numpy.typing import NDArray

from densevl.core.errors import UsageError

__all__ = ["NEW_SHAPES", "SHAPES", "outline", "shape_distance", "warped_distance"]

SHAPES = ("circle", "square", "triangle", "star", "ring", "cross", "heart", "crescent")
NEW_SHAPES = ("arrow", "bolt")
"""Shapes that no scene has unless it is asked for: the mini models know neither their look nor their words."""

REACH = 1.3
"""Half side of the canvas, in radii: the shape and room for its shadow."""
CELLS = 320
FloatArray = NDArray[np.float32]


def outline(shape: str) -> list[NDArray[np.float64]]:
    """Closed polygons (n, 2) that bound a shape by the even-odd rule, in radii.

    Raises:
        UsageError: for a shape that does not exist.
    """
    turn = 2 * np.pi
    if shape == "circle":
        return [_arc(0.92, 0.0, turn)]
    if shape == "square":
        return [np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * 0.8]
    if shape == "triangle":
        return [_arc(1.08, -turn / 4, 3 * turn / 4, 4)[:3] + np.array([0.0, 0.2])]
    if shape == "star":
        radii = np.where(np.arange(10) % 2 == 0, 1.08, 0.46)[:, None]
        return [_arc(1.0, -turn / 4, 3 * turn / 4, 11)[:10] * radii]
    if shape == "ring":
        return [_arc(0.95, 0.0, turn), _arc(0.5, 0.0, turn)]
    if shape == "cross":
        arm, end = 0.33, 0.95
        corner = np.array([[-arm, -end], [arm, -end], [arm, -arm]])
        quarter = np.array([[0, 1], [-1, 0]])
        return [np.concatenate([corner @ np.linalg.matrix_power(quarter, turns) for turns in range(4)])]
    if shape == "heart":
        t = np.linspace(0, turn, 97)[:-1]
        y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
        return [np.stack([16 * np.sin(t) ** 3, -y - 2.5], 1) / 16.5]
    if shape == "crescent":
        return [_crescent()]
    if shape == "arrow":
        half = np.array([[-0.95, 0.26], [0.1, 0.26], [0.1, 0.72], [0.98, 0.0]])
        return [np.concatenate([half, half[-2::-1] * [1, -1]])]
    if shape == "bolt":
        half = np.array([[0.15, -0.98], [-0.6, 0.18], [-0.08, 0.18]])
        return [np.concatenate([half, -half])]
    raise UsageError(f"shape {shape!r} is not known; expected one of {', '.join((*SHAPES, *NEW_SHAPES))}")


def _arc(radius: float, start: float, stop: float, points: int = 97) -> NDArray[np.float64]:
    angle = np.linspace(start, stop, points)
    return radius * np.stack([np.cos(angle), np.sin(angle)], 1)


def _crescent() -> NDArray[np.float64]:
    """A disc without a smaller disc to its right; both arcs meet in the two horns."""
    outer, inner, shift = 0.98, 0.78, 0.48
    x = (outer**2 - inner**2 + shift**2) / (2 * shift)
    y = np.sqrt(outer**2 - x**2)
    horn_outer, horn_inner = np.arctan2(y, x), np.arctan2(y, x - shift)
    back = _arc(outer, horn_outer, 2 * np.pi - horn_outer)
    front = _arc(inner, 2 * np.pi - horn_inner, horn_inner) + np.array([shift, 0.0])
    return np.concatenate([back, front[1:-1]]) - np.array([0.12, 0.0])


@functools.cache
def shape_distance(shape: str) -> FloatArray:
    """Signed distance to the outline on a (cells, cells) canvas over [-1.3, 1.3] squared; positive inside."""
    axis = (np.arange(CELLS) + 0.5) / CELLS * 2 * REACH - REACH
    points = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    nearest = np.full(len(points), np.inf)
    inside = np.zeros(len(points), bool)
    for polygon in outline(shape):
        for a, b in zip(polygon, np.roll(polygon, -1, 0), strict=True):
            edge = b - a
            length = edge @ edge
            if length == 0:
                continue
            along = np.clip((points - a) @ edge / length, 0, 1)
            np.minimum(nearest, ((points - a - along[:, None] * edge) ** 2).sum(1), out=nearest)
            if a[1] != b[1]:
                crosses = (a[1] > points[:, 1]) != (b[1] > points[:, 1])
                inside ^= crosses & (points[:, 0] < a[0] + (points[:, 1] - a[1]) * edge[0] / edge[1])
    signed = np.sqrt(nearest) * np.where(inside, 1, -1)
    return signed.reshape(CELLS, CELLS).astype(np.float32)


def warped_distance(
    shape: str, centre: tuple[float, float], radius: float, angle: float, window: tuple[int, int, int, int]
) -> FloatArray:
    """Signed distance in pixels at the pixel centres of a window.

    Args:
        shape: name of the shape.
        centre: (x, y) in pixels of the image.
        radius: in pixels.
        angle: rotation in radians, clockwise as seen.
        window: half-open (x0, y0, x1, y1) in pixels of the image.
    """
    x0, y0, x1, y1 = window
    scale = CELLS / (2 * REACH * radius)
    cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
    # Pixel (i, j) of the window stands at (x0 + i + .5, y0 + j + .5); cell (u, v) of the canvas at (u + .5, v + .5).
    dx, dy = x0 + 0.5 - centre[0], y0 + 0.5 - centre[1]
    middle = CELLS / 2 - 0.5
    to_canvas = np.array(
        [[cos, sin, cos * dx + sin * dy + middle], [-sin, cos, -sin * dx + cos * dy + middle]], np.float64
    )
    warped = cv2.warpAffine(
        shape_distance(shape),
        to_canvas,
        (x1 - x0, y1 - y0),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=-REACH,
    )
    return warped * np.float32(radius)
