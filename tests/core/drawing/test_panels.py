"""Small charts side by side."""

from math import nan

import numpy as np
import pytest

from densevl.core.drawing.panels import HEIGHT, WIDTH, draw_panels
from densevl.core.errors import UsageError
from densevl.core.palette import palette

LINES = {"tuned": [(1, 50.0), (2, 60.0)], "frozen": [(1, 40.0), (2, 40.0)]}


def test_each_line_has_its_colour_in_every_panel():
    drawn = draw_panels({"old": {"tuned": LINES["tuned"]}, "new": LINES}, "Sessions", "session", "percent", 100)
    assert drawn.shape == (HEIGHT + 60, 2 * WIDTH, 3)
    first, second = palette(2)
    left, right = drawn[:, :WIDTH], drawn[:, WIDTH:]
    assert (left[: HEIGHT - 40] == first).all(2).any()
    assert not (left[: HEIGHT - 40] == second).all(2).any()
    assert (right[: HEIGHT - 40] == second).all(2).any()


def test_what_was_not_measured_is_left_out():
    with_gap = draw_panels({"new": {"tuned": [(1, 50.0), (2, nan)]}, "old": {"tuned": [(1, nan)]}}, "t", "x", "y")
    without = draw_panels({"new": {"tuned": [(1, 50.0)]}}, "t", "x", "y")
    assert np.array_equal(with_gap, without)
    with pytest.raises(UsageError, match="there is none"):
        draw_panels({"old": {"tuned": [(1, nan)]}}, "t", "x", "y")
