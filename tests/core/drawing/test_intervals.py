"""Means with their intervals."""

import numpy as np

from densevl.core.drawing.intervals import COLOURS, HEIGHT, WIDTH, draw_intervals


def ink(image, index):
    return np.argwhere(np.abs(image / 255 - COLOURS[index]).max(-1) < 0.02)


def test_higher_means_stand_higher_and_wider_intervals_are_longer():
    low = draw_intervals({"one": [("small", 9, 0.2, 0.15, 0.25)]}, "Size", "right")
    high = draw_intervals({"one": [("small", 9, 0.8, 0.55, 0.95)]}, "Size", "right")
    assert low.shape == (HEIGHT, WIDTH, 3)
    assert ink(high, 0)[:, 0].mean() < ink(low, 0)[:, 0].mean() - 100
    assert np.ptp(ink(high, 0)[:, 0]) > 2 * np.ptp(ink(low, 0)[:, 0])


def test_empty_bins_and_several_series():
    nan = float("nan")
    means = [("few", 0, nan, nan, nan), ("one", 1, 0.5, nan, nan)]
    image = draw_intervals({"a": means, "b": means}, "Count", "right")
    assert len(ink(image, 0)) > 20
    assert len(ink(image, 1)) > 20
