"""The tabulated shapes against plain geometry, one point at a time."""

import numpy as np
import pytest

from densevl.core.errors import UsageError
from densevl.datasets.scenes.shapes import SHAPES, outline, warped_distance


def inside_by_hand(shape, point):
    """Even-odd rule, one point at a time."""
    odd = False
    for polygon in outline(shape):
        for (ax, ay), (bx, by) in zip(polygon, np.roll(polygon, -1, 0), strict=True):
            if (ay > point[1]) != (by > point[1]) and point[0] < ax + (point[1] - ay) * (bx - ax) / (by - ay):
                odd = not odd
    return odd


@pytest.mark.parametrize("shape", SHAPES)
def test_mask_is_the_rotated_outline(shape):
    centre, radius, angle = (31.3, 28.9), 21.7, 0.4
    distance = warped_distance(shape, centre, radius, angle, (0, 0, 64, 60))
    cos, sin = np.cos(angle), np.sin(angle)
    differs = 0
    for y in range(0, 60, 3):
        for x in range(0, 64, 3):
            dx, dy = (x + 0.5 - centre[0]) / radius, (y + 0.5 - centre[1]) / radius
            expected = inside_by_hand(shape, (cos * dx + sin * dy, -sin * dx + cos * dy))
            if abs(distance[y, x]) > 0.35:
                assert (distance[y, x] > 0) == expected, (x, y)
            differs += (distance[y, x] > 0) != expected
    assert differs <= 4


@pytest.mark.parametrize("shape", SHAPES)
def test_distance_is_that_to_the_nearest_point_of_the_outline(shape):
    side, radius = 50, 18.0
    distance = warped_distance(shape, (side / 2, side / 2), radius, 0.0, (0, 0, side, side))
    steps = np.linspace(0, 1, 500)[:, None]
    points = np.concatenate(
        [a + steps * (b - a) for p in outline(shape) for a, b in zip(p, np.roll(p, -1, 0), strict=True)]
    )
    for y in range(8, 44, 5):
        for x in range(8, 44, 5):
            place = (np.array([x, y]) + 0.5 - side / 2) / radius
            nearest = np.hypot(*(points - place).T).min() * radius
            assert abs(distance[y, x]) == pytest.approx(nearest, abs=0.1)


def test_shapes_fit_the_unit_disc_and_differ():
    for shape in SHAPES:
        reach = max(np.hypot(*polygon.T).max() for polygon in outline(shape))
        assert 0.85 < reach < 1.3, shape
    masks = [warped_distance(shape, (32.0, 32.0), 28.0, 0.0, (0, 0, 64, 64)) > 0 for shape in SHAPES]
    for i, one in enumerate(masks):
        for other in masks[:i]:
            assert (one & other).sum() / (one | other).sum() < 0.85


def test_unknown_shape():
    with pytest.raises(UsageError, match="hexagon"):
        outline("hexagon")
