"""Cells of masks against counted pixels."""

import pytest
import torch

from densevl.tasks.segmentation.windows import WindowPlan
from densevl.tasks.teaching.cells import cells_of, coverage


@pytest.mark.parametrize(("scale", "window", "stride"), [(1, None, 4), (2, None, 8), (2, 16, 4), (1, 10, 4)])
def test_coverage_counts_the_pixels_of_each_cell(scale, window, stride):
    """Masks of 24×30 pixels; the resized image is as large or twice as large, so that each cell has whole pixels."""
    masks = torch.rand(3, 24, 30, generator=torch.Generator().manual_seed(0)) > 0.6
    plan = WindowPlan((24 * scale, 30 * scale), window, 8)
    found = coverage(masks, plan, stride)
    large = masks.float().repeat_interleave(scale, 1).repeat_interleave(scale, 2)
    assert found.shape == (len(plan), 3, *plan.grid(stride))
    for place, (left, top, right, bottom) in enumerate(plan.boxes):
        for y in range(found.shape[2]):
            for x in range(found.shape[3]):
                cell = large[
                    :,
                    top + y * stride : min(top + (y + 1) * stride, bottom),
                    left + x * stride : min(left + (x + 1) * stride, right),
                ]
                torch.testing.assert_close(found[place, :, y, x], cell.mean((1, 2)))


def test_cells_are_those_that_a_mask_covers_by_half():
    covered = torch.tensor([[[0.2, 0.5, 1.0], [0.49, 0.0, 0.7]]])
    assert cells_of(covered).tolist() == [[[False, True, True], [False, False, True]]]


def test_small_masks_speak_by_the_cell_that_they_cover_most():
    covered = torch.tensor([[[0.1, 0.0, 0.3], [0.2, 0.0, 0.0]]])
    assert cells_of(covered).tolist() == [[[False, False, True], [False, False, False]]]


def test_empty_masks_have_no_cells():
    assert not cells_of(torch.zeros(1, 2, 3)).any()
