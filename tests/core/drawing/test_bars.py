import numpy as np
import pytest

from densevl.core.drawing.bars import draw_bars
from densevl.core.errors import UsageError


def test_bars_are_drawn():
    one = draw_bars({"a": [1.0, 2.0]}, ["x", "y"], "title", "%")
    two = draw_bars({"a": [1.0, 2.0], "b": [2.0, float("nan")]}, ["x", "y"], "title", "%")
    line = draw_bars({"a": [1.0, 2.0]}, ["x", "y"], "title", "%", 1.5, "guessing")
    assert one.shape == two.shape == line.shape == (488, 776, 3)
    assert not np.array_equal(one, two)
    assert not np.array_equal(one, line)


@pytest.mark.parametrize("series", [{}, {"a": [1.0]}, {"a": [1.0, -1.0]}, {"a": [1.0, float("inf")]}])
def test_what_cannot_be_drawn_is_refused(series):
    with pytest.raises(UsageError, match="bars need values from 0 on"):
        draw_bars(series, ["x", "y"], "title", "%")
