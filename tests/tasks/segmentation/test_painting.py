"""Sets of regions against looking at each pixel by itself."""

import torch

from densevl.tasks.segmentation.painting import coverage_of_regions, covering_sets, resize_sets, spread_sets


def test_covering_sets_are_those_of_the_pixels():
    generator = torch.Generator().manual_seed(0)
    for count in (0, 1, 7, 75):
        masks = torch.rand(count, 9, 11, generator=generator) > 0.9
        sets, members = covering_sets(masks)
        assert torch.equal(members[sets].permute(2, 0, 1), masks)
        assert len({tuple(row) for row in members.tolist()}) == len(members)


def test_shares_follow_the_rule():
    members = torch.tensor([[True, True, False], [False, False, False], [True, True, True]])
    areas = torch.tensor([9.0, 4.0, 6.0])
    probabilities = torch.tensor([[0.5, 0.5], [0.4, 0.6], [0.9, 0.1]])
    mean = coverage_of_regions(members, areas, probabilities, "mean")
    torch.testing.assert_close(mean, torch.tensor([[0.5, 0.5, 0], [0, 0, 0], [1 / 3, 1 / 3, 1 / 3]]))
    assert coverage_of_regions(members, areas, probabilities, "best").tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 1]]
    assert coverage_of_regions(members, areas, probabilities, "smallest").tolist() == [[0, 1, 0], [0, 0, 0], [0, 1, 0]]


def test_spreading_keeps_what_is_covered():
    sets = torch.zeros(8, 8, dtype=torch.int64)
    sets[2, 1], sets[5, 6] = 1, 2
    spread = spread_sets(sets, 0)
    assert spread[2, 1] == 1
    assert spread[5, 6] == 2
    assert spread[0, 0] == 1
    assert spread[7, 7] == 2
    assert (spread > 0).all()


def test_a_resized_pixel_is_the_one_under_its_centre():
    sets = torch.arange(6 * 9).view(6, 9)
    for height, width in ((6, 9), (3, 3), (12, 18), (5, 11)):
        resized = resize_sets(sets, (height, width))
        for y in range(height):
            for x in range(width):
                assert resized[y, x] == sets[(2 * y + 1) * 6 // (2 * height), (2 * x + 1) * 9 // (2 * width)]
