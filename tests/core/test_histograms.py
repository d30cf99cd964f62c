"""Colour histograms of cells, against counting by hand."""

import numpy as np
import pytest

from densevl.core.histograms import LEVELS, colour_grid


def test_fractions_of_cells():
    image = np.zeros((4, 6, 3), np.uint8)
    image[:2, :3] = (255, 0, 0)
    image[0, 0] = (0, 0, 255)
    found = colour_grid(image, 2)
    assert found.shape == (LEVELS**3, 2, 2)
    assert found.sum(0) == pytest.approx(np.ones((2, 2)))
    red, blue = (LEVELS - 1) * LEVELS * LEVELS, LEVELS - 1
    assert found[red, 0, 0] == pytest.approx(5 / 6)
    assert found[blue, 0, 0] == pytest.approx(1 / 6)
    assert found[0, 1, 1] == 1


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (7, 3)])
def test_small_images_fill_every_cell(size):
    found = colour_grid(np.full((*size, 3), 90, np.uint8), 3)
    assert found.sum(0) == pytest.approx(np.ones((3, 3)))
