"""The things of a frame: pieces of foreground, proposals that stand by themselves, and the gap of the nearest two."""

import numpy as np
import pytest
import torch

from densevl.core.regions import Regions
from densevl.tasks.sequences.things import apart, pieces, things_of


def squares(*corners, side=4, size=(24, 32)):
    """Masks of squares with these upper left corners (row, column)."""
    masks = np.zeros((len(corners), *size), bool)
    for mask, (row, column) in zip(masks, corners, strict=True):
        mask[row : row + side, column : column + side] = True
    return masks


def test_a_gap_is_that_of_the_nearest_two_in_radii():
    masks = squares((2, 2), (2, 9), (16, 20))
    found = things_of(masks, torch.rand(5, 24, 32))
    assert found.count == 3
    assert found.gap == pytest.approx(3 / 2)  # three cells between them, and squares of 4 have a radius of 2
    doubled = np.kron(masks, np.ones((1, 2, 2))).astype(bool)
    assert things_of(doubled, torch.rand(5, 48, 64)).gap == pytest.approx(6 / 4)


def test_things_that_touch_have_no_gap_and_one_alone_has_none():
    grid = torch.rand(5, 24, 32)
    assert things_of(squares((2, 2), (2, 6)), grid).gap == 0
    assert things_of(squares((2, 2)), grid).gap is None


def test_a_vector_is_the_mean_of_its_cells():
    grid = torch.zeros(2, 24, 32)
    grid[0], grid[1, :, 16:] = 1.0, 7.0
    grid[0, :, 16:] = 0.0
    found = things_of(squares((2, 2), (2, 20)), grid)
    assert torch.allclose(found.vectors, torch.eye(2))
    nothing = things_of(squares(), grid)
    assert (nothing.count, nothing.gap) == (0, None)
    assert torch.allclose(nothing.vectors, torch.full((1, 2), 0.5**0.5))


def test_pieces_are_connected_and_specks_are_none():
    foreground = torch.full((40, 40), -1.0)
    foreground[2:8, 2:8] = foreground[8:12, 8:12] = 1.0  # they meet at a corner
    foreground[20:23, 20:24] = 2.0
    foreground[35, 35] = 5.0
    found = pieces(foreground)
    assert [int(mask.sum()) for mask in found] == [36 + 16, 12]
    assert pieces(torch.full((8, 8), -1.0)).shape == (0, 8, 8)


def test_grounds_and_parts_are_no_things():
    ground, thing, part, other = np.ones((24, 32), bool), *squares((4, 4), (4, 4), (14, 20))
    part[:, 6:] = False
    regions = Regions.from_masks(torch.from_numpy(np.stack([ground, thing, part, other])))
    assert (apart(regions) == np.stack([thing, other])).all()
    assert apart(regions[:0]).shape == (0, 24, 32)
