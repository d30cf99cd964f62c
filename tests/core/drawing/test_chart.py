import numpy as np
import pytest

from densevl.core.drawing.chart import draw_chart
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


def test_names_of_equal_ends_do_not_overlap():
    series = {"one": [(0, 1.0), (1, 1.0)], "two": [(0, 1.0), (1, 1.0)]}
    assert draw_chart(series, "", "", "").shape == draw_chart({"one": series["one"]}, "", "", "").shape


@pytest.mark.parametrize("series", [{}, {"a": []}, {"a": [(0, -1)]}, {"a": [(0, float("nan"))]}])
def test_points_that_cannot_be_drawn(series):
    with pytest.raises(UsageError, match="finite and not negative"):
        draw_chart(series, "", "", "")
