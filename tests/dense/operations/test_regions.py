"""Maps of regions on other grids and in windows."""

import torch

from densevl.dense.operations.regions import on_cells, stitch, within
from densevl.tasks.segmentation.windows import WindowPlan


def test_what_an_encoder_sees_beyond_an_image_has_no_region():
    regions = torch.arange(6).view(1, 2, 3)
    assert within(regions, (0, 0, 4, 3)).tolist() == [[[0, 1, 2, -1], [3, 4, 5, -1], [-1, -1, -1, -1]]]
    assert within(regions, (0, 0, 2, 1)).tolist() == [[[0, 1]]]
    assert within(regions, (-1, -1, 3, 2)).tolist() == [[[-1, -1, -1, -1], [-1, 0, 1, 2], [-1, 3, 4, 5]]]


def test_a_cell_has_the_region_of_its_corner():
    regions = torch.arange(48).view(1, 6, 8)
    assert on_cells(regions, (2, 4)).tolist() == [[[0, 2, 4, 6], [24, 26, 28, 30]]]
    assert torch.equal(on_cells(regions, (6, 8)), regions)
    assert on_cells(regions[:, :1, :2], (2, 4)).tolist() == [[[0, 0, 1, 1], [0, 0, 1, 1]]]
    nearest = torch.nn.functional.interpolate(regions[None].float(), (4, 5), mode="nearest")[0].long()
    assert torch.equal(on_cells(regions, (4, 5)), nearest)


def test_windows_make_up_the_image_again():
    regions = torch.randint(-1, 5, (13, 22), generator=torch.Generator().manual_seed(0))
    plan = WindowPlan((13, 22), 8, 5)
    windows = plan.crop(regions[None, None].float())[:, 0].long()
    assert torch.equal(stitch(windows, plan.boxes), regions)
