"""Crops: the region in the middle, whatever its size and place."""

import numpy as np
import pytest

from densevl.core.drawing.crops import draw_crop


@pytest.mark.parametrize("box", [(40, 30, 60, 40), (0, 0, 8, 8), (190, 90, 200, 100), (0, 0, 200, 100)])
def test_the_region_is_in_the_middle(box):
    image = np.zeros((100, 200, 3), np.uint8)
    image[int(box[1]) : int(box[3]), int(box[0]) : int(box[2])] = (250, 10, 10)
    crop = draw_crop(image, box, 64)
    assert crop.shape == (64, 64, 3)
    red = (crop[..., 0] > 200) & (crop[..., 1] < 60)
    assert red[32, 32]
    rows, columns = np.nonzero(red)
    assert abs((rows.min() + rows.max()) / 2 - 31.5) < 3
    assert abs((columns.min() + columns.max()) / 2 - 31.5) < 3
