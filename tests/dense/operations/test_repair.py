import torch

from densevl.dense.operations.repair import repair


def test_outliers_become_the_mean_of_good_neighbours_on_any_grid():
    draw = torch.Generator().manual_seed(0)
    maps, outliers = torch.randn(2, 3, 5, 9, generator=draw), torch.rand(2, 5, 9, generator=draw) < 0.4
    outliers[1, :2, :2] = True  # a corner with outliers alone around it
    expected = maps.clone()
    for b, y, x in outliers.nonzero().tolist():
        around = [
            maps[b, :, i, j]
            for i in range(max(0, y - 1), min(5, y + 2))
            for j in range(max(0, x - 1), min(9, x + 2))
            if not outliers[b, i, j]
        ]
        if around:
            expected[b, :, y, x] = torch.stack(around).mean(0)
    found = repair(maps, outliers)
    torch.testing.assert_close(found, expected)
    assert torch.equal(found[1, :, 0, 0], maps[1, :, 0, 0])


def test_without_outliers_nothing_changes():
    maps = torch.rand(1, 2, 3, 4)
    assert torch.equal(repair(maps, torch.zeros(1, 3, 4, dtype=torch.bool)), maps)
