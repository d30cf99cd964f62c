import pytest
import torch

from densevl.core.errors import UsageError
from densevl.dense.operations.splice import splice, spliced_grid
from densevl.tasks.segmentation.windows import WindowPlan


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_where_cells_fall_on_each_other_windows_are_averaged():
    plan = WindowPlan((48, 64), 32, 16)
    maps = draw(len(plan), 3, 4, 4)
    total, count = torch.zeros(3, 6, 8), torch.zeros(6, 8)
    for one, (left, top, right, bottom) in zip(maps, plan.boxes, strict=True):
        total[:, top // 8 : bottom // 8, left // 8 : right // 8] += one
        count[top // 8 : bottom // 8, left // 8 : right // 8] += 1
    torch.testing.assert_close(splice(maps, plan.boxes)[0], total / count)


@pytest.mark.parametrize("extent", [None, (0, 0, 40, 32), (-3, -2, 39, 34)])
def test_elsewhere_cells_count_by_the_area_that_they_share(extent):
    plan = WindowPlan((45, 70), (32, 37), 13)
    maps = draw(len(plan), 2, 4, 5)
    grid = spliced_grid((4, 5), plan.boxes, extent)
    found = splice(maps, plan.boxes, extent=extent)
    left, top, right, bottom = extent or (0, 0, 37, 32)
    fine, total, weight = 16, torch.zeros(2, *grid), torch.zeros(grid)
    for one, (x0, y0, x1, y1) in zip(maps, plan.boxes, strict=True):  # by points of a fine grid
        for y in (torch.arange((y1 - y0) * fine) + 0.5) / fine:
            row, to = int((y - top) / (bottom - top) * 4), int((y + y0) / 45 * grid[0])
            xs = (torch.arange((x1 - x0) * fine) + 0.5) / fine
            columns, tos = ((xs - left) / (right - left) * 5).long(), ((xs + x0) / 70 * grid[1]).long()
            total[:, to].index_add_(1, tos, one[:, row, columns])
            weight[to].index_add_(0, tos, torch.ones(len(tos)))
    torch.testing.assert_close(found[0], total / weight, rtol=0.05, atol=0.02)


def test_a_window_that_is_the_image_stays_as_it_is():
    maps = draw(1, 3, 5, 7)
    torch.testing.assert_close(splice(maps, [(0, 0, 56, 40)]), maps)


def test_a_map_of_one_value_stays_so():
    plan = WindowPlan((50, 61), 24, 17)
    found = splice(torch.ones(len(plan), 1, 3, 3), plan.boxes)
    torch.testing.assert_close(found, torch.ones(1, 1, *spliced_grid((3, 3), plan.boxes)))


def test_as_many_windows_as_maps():
    with pytest.raises(UsageError, match="as many windows as maps were expected, 2; got 1"):
        splice(draw(2, 1, 2, 2), [(0, 0, 4, 4)])
