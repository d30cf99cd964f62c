"""Bars are as high as their values."""

import numpy as np
import pytest

from densevl.core.drawing.bars import draw_bars
from densevl.core.errors import UsageError


def test_higher_values_have_more_ink():
    low, high = (draw_bars({"a": [value]}, ["x"], "title", "score") for value in (0.1, 0.9))
    assert low.dtype == np.uint8
    colourful = [int((np.ptp(image.astype(int), axis=2) > 40).sum()) for image in (low, high)]
    assert colourful[1] > 3 * colourful[0] > 0


@pytest.mark.parametrize("series", [{}, {"a": []}, {"a": [0.5, 0.5]}, {"a": [1.2]}, {"a": [float("nan")]}])
def test_values_that_cannot_be_drawn(series):
    with pytest.raises(UsageError, match=r"a value for each|in \[0, 1\]"):
        draw_bars(series, ["x"], "title", "score")
