"""Figures over the logarithm of counts."""

import numpy as np

from densevl.core.drawing.trend import HEIGHT, MEAN, WIDTH, draw_trend

COUNTS, VALUES = np.array([1, 10, 100]), np.array([10.0, 20.0, 90.0])


def test_points_line_and_decades():
    image = draw_trend(COUNTS, VALUES, (40.0, 0.0), [(0, 10.0, 3.0), (2, 90.0, float("nan"))], "Law", "accuracy, %")
    assert image.shape == (HEIGHT, WIDTH, 3)
    rows = np.argwhere(np.abs(image / 255 - MEAN).max(-1) < 0.02)[:, 0]
    assert np.ptp(rows) > HEIGHT / 3


def test_no_line_and_no_decade_are_left_out():
    image = draw_trend(COUNTS, VALUES, (float("nan"), float("nan")), [], "Law", "accuracy, %")
    assert not (np.abs(image / 255 - MEAN).max(-1) < 0.02)[: HEIGHT - 60].any()
