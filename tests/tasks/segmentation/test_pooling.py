"""Means of patches over cells: adaptive pooling where patches fill cells, areas elsewhere, whatever the windows."""

import pytest
import torch
import torch.nn.functional as F

from densevl.core.features import DenseFeatures
from densevl.tasks.segmentation.encoded import EncodedImage
from densevl.tasks.segmentation.pooling import natural_grid, overlaps, pool_cells
from densevl.tasks.segmentation.windows import WindowPlan


def encoded(grid, size, window=None, stride=224, patch=4, extent=None):
    features = DenseFeatures(grid, patch, "toy", extent=extent)
    return EncodedImage(features, WindowPlan(size, window, stride), size)


def test_even_cells_are_adaptive_average_pooling():
    grid = torch.rand(1, 3, 6, 9)
    one = encoded(grid, (24, 36))
    assert natural_grid(one) == (6, 9)
    for cells in ((3, 3), (6, 9), (1, 1), (2, 3)):
        assert torch.allclose(pool_cells(one, grid, cells), F.adaptive_avg_pool2d(grid, cells)[0], atol=1e-6)


def test_cells_smaller_than_patches_have_their_values():
    grid = torch.arange(4.0).view(1, 1, 2, 2)
    found = pool_cells(encoded(grid, (8, 8)), grid, (4, 4))
    assert torch.equal(found, F.interpolate(grid, (4, 4), mode="nearest")[0])


def test_odd_cells_are_means_of_areas():
    """Against pixels: each patch painted over its pixels, those of the cell averaged."""
    grid = torch.rand(1, 2, 5, 7)
    one = encoded(grid, (18, 27))  # the last patches reach over the edge
    pixels = grid.repeat_interleave(4, 2).repeat_interleave(4, 3)[:, :, :18, :27]
    found = pool_cells(one, grid, (3, 9))
    assert torch.allclose(found, F.avg_pool2d(pixels, (6, 3))[0], atol=1e-6)


def test_windows_that_show_the_same_are_one_image():
    whole = torch.rand(1, 2, 6, 6)
    plan = WindowPlan((24, 24), 16, 8)
    windows = torch.cat([whole[:, :, y // 4 : y // 4 + 4, x // 4 : x // 4 + 4] for x, y, _, _ in plan.boxes])
    assert len(windows) == 4
    found = pool_cells(encoded(windows, (24, 24), 16, 8), windows, (3, 2))
    assert torch.allclose(found, pool_cells(encoded(whole, (24, 24)), whole, (3, 2)), atol=1e-6)
    spliced = encoded(whole, (24, 24), 16, 8, extent=(0, 0, 24, 24))  # one map of all windows
    assert torch.allclose(pool_cells(spliced, whole, (3, 2)), found, atol=1e-6)


def test_shared_lengths():
    shared = overlaps(torch.tensor([0.0, 2.0, 4.0]), torch.tensor([0.0, 1.0, 3.0, 5.0]))
    assert shared.tolist() == [[1, 1, 0], [0, 1, 1]]
    assert shared.sum() == pytest.approx(4)
