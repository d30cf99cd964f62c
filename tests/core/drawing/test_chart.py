import numpy as np
import pytest

from densevl.core.drawing.chart import HEIGHT, WIDTH, draw_chart
from densevl.core.errors import UsageError
from densevl.core.palette import palette


def test_lines_are_where_their_points_are():
    series = {"slow": [(0, 1.0), (10, 2.0)], "fast": [(0, 0.1), (10, 0.2)]}
    picture = draw_chart(series, "title", "classes", "seconds")
    slow, fast = (np.argwhere((picture == colour).all(2)) for colour in palette(2))
    assert len(slow)
    assert len(fast)
    plot = picture.shape[1] * 2 // 3
    assert slow[slow[:, 1] < plot][:, 0].mean() < fast[fast[:, 1] < plot][:, 0].mean(), "more lies higher"
    rising = slow[slow[:, 1] < plot]
    assert rising[rising[:, 1].argmin(), 0] > rising[rising[:, 1].argmax(), 0]


def ends(series):
    """Row of the last letter-sized patch of each line's colour at the right of the plot: its name."""
    picture = draw_chart(series, "", "", "")
    right = picture[:, picture.shape[1] * 7 // 8 :]
    return [np.argwhere((right == colour).all(2))[:, 0].mean() for colour in palette(len(series))]


def test_names_stand_at_the_right_in_the_order_of_the_ends():
    low, high = ends({"low": [(0, 1.0), (1, 1.0)], "high": [(0, 1.0), (1, 9.0)]})
    assert high < low - 10
    one, two = ends({"one": [(0, 1.0), (1, 1.0)], "two": [(0, 1.0), (1, 1.0)]})
    assert abs(one - two) > 10, "names of equal ends do not overlap"


def test_axes_begin_at_zero_and_every_chart_has_one_size():
    few = draw_chart({"a": [(5, 1.0), (10, 1.0)]}, "t", "x", "y", {5: "five"})
    many = draw_chart({f"line {i}": [(0, i), (1e6, 1e4)] for i in range(9)}, "a title", "x", "y")
    assert few.shape == many.shape == (HEIGHT, WIDTH, 3)
    line = np.argwhere((few == palette(1)[0]).all(2))
    assert 0.4 < (line[:, 1].min() - 60) / (line[line[:, 1] < 680][:, 1].max() - 60) < 0.55, "5 is half of 10"


def test_nothing_touches_the_edges():
    series = {"a model with quite a long name": [(0, 0.0), (123456, 98765.0)]}
    picture = draw_chart(series, "title", "classes", "seconds an image", {0: "100×100", 123456: "10000×10000"})
    for edge in (picture[0], picture[-1], picture[:, 0], picture[:, -1]):
        assert (edge == 255).all()


@pytest.mark.parametrize("series", [{}, {"a": []}, {"a": [(0, -1)]}, {"a": [(0, float("nan"))]}])
def test_points_that_cannot_be_drawn(series):
    with pytest.raises(UsageError, match="finite and not negative"):
        draw_chart(series, "", "", "")
