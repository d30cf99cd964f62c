import numpy as np
import pytest

from densevl.core.drawing.scatter import draw_scatter
from densevl.core.errors import UsageError


def test_points_are_drawn():
    one = draw_scatter({"a": (1.0, 20.0)}, "title", "x", "y")
    two = draw_scatter({"a": (1.0, 20.0), "b": (10.0, 30.0)}, "title", "x", "y")
    assert one.shape == two.shape == (488, 776, 3)
    assert not np.array_equal(one, two)


@pytest.mark.parametrize("points", [{}, {"a": (0.0, 1.0)}, {"a": (1.0, float("nan"))}])
def test_what_cannot_be_drawn_is_refused(points):
    with pytest.raises(UsageError, match="needs some that are finite, with x above 0"):
        draw_scatter(points, "title", "x", "y")
