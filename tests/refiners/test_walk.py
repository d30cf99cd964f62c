"""Random walks over patches: probabilities, walls, batches, and what they teach."""

import pytest
import torch

from densevl.errors import UsageError
from densevl.refiners.dinoiser import within_reach
from densevl.refiners.walk import WalkTeacher, affinity_of_walks, border_share, transitions
from densevl.structures import DenseFeatures


def two_rooms() -> torch.Tensor:
    """A map of 6x7 patches: floor to the left and to the right of a wall one patch wide, all floor alike."""
    tapped = torch.zeros(1, 3, 6, 7)
    tapped[:, 0] = 1
    tapped[:, :, :, 3] = torch.tensor([0.0, 1.0, 0.0])[:, None]
    return tapped


def island() -> torch.Tensor:
    """A square of 3x3 patches of another kind in the middle of 9x9."""
    tapped = torch.zeros(1, 2, 9, 9)
    tapped[:, 0] = 1
    tapped[:, :, 3:6, 3:6] = torch.tensor([0.0, 1.0])[:, None, None]
    return tapped


def test_steps_are_probabilities_of_neighbours() -> None:
    steps = transitions(torch.randn(2, 5, 4, 6), 0.5)
    assert torch.allclose(steps.sum(2), torch.ones(2, 24))
    for start in range(24):
        for end in range(24):
            apart = max(abs(start // 6 - end // 6), abs(start % 6 - end % 6))
            assert (steps[:, start, end] > 0).all() == (apart <= 1)


def test_a_wall_parts_what_looks_alike() -> None:
    affinity = affinity_of_walks(transitions(two_rooms(), 0.2), 8)[0]
    room = (torch.arange(42) % 7 - 3).sign()
    assert affinity[room == -1][:, room == 1].max() < 1e-3
    assert affinity[0, 7 + 1] > 0.6
    assert torch.allclose(affinity.diagonal(), torch.ones(42))


def test_walks_from_a_thing_stay_off_the_border() -> None:
    share = border_share(transitions(island(), 0.2), (9, 9), 32)[0]
    inside = torch.zeros(9, 9, dtype=torch.bool)
    inside[3:6, 3:6] = True
    assert share[inside].max() < 0.1 < 0.5 < share[~inside].min()


def test_walks_that_end_anywhere_have_the_share_of_the_border() -> None:
    steps = torch.full((1, 20, 20), 1 / 20)
    assert torch.allclose(border_share(steps, (4, 5), 3), torch.ones(1, 4, 5))


def test_border_share_is_the_power_of_the_steps() -> None:
    steps = transitions(torch.randn(2, 4, 5, 5), 1.0)
    border = torch.ones(5, 5)
    border[1:-1, 1:-1] = 0
    expected = torch.linalg.matrix_power(steps, 6) @ border.flatten() / border.mean()
    assert torch.allclose(border_share(steps, (5, 5), 6).flatten(1), expected, atol=1e-5)


def test_refines_a_batch_as_its_members() -> None:
    teacher = WalkTeacher(layer="blocks.0")
    grids, maps = torch.randn(2, 8, 5, 6), torch.randn(2, 4, 5, 6)
    both = teacher(DenseFeatures(grids, 8, "toy", intermediates={"blocks.0": maps}))
    for i in range(2):
        one = teacher(DenseFeatures(grids[i : i + 1], 8, "toy", intermediates={"blocks.0": maps[i : i + 1]}))
        assert torch.allclose(both.grid[i], one.grid[0], atol=1e-5)
        assert torch.allclose(both.foreground[i], one.foreground[0], atol=1e-5)


def test_refining_makes_rooms_uniform_and_keeps_them_apart() -> None:
    tapped = two_rooms()
    grid = torch.randn(1, 4, 6, 7) * 0.1
    grid[:, :, :, 4:] += 5
    pooled = WalkTeacher(layer="m", steps=64)(DenseFeatures(grid, 8, "toy", intermediates={"m": tapped})).grid
    assert pooled[..., :3].std(dim=(2, 3)).max() < grid[..., :3].std(dim=(2, 3)).min()
    assert (pooled[..., 4:].mean() - pooled[..., :3].mean()) > 4.5


def test_within_reach_is_the_distance_of_centres() -> None:
    near = within_reach((3, 4), 1.5)
    for p in range(12):
        for q in range(12):
            apart = ((p // 4 - q // 4) ** 2 + (p % 4 - q % 4) ** 2) ** 0.5
            assert bool(near[p, q]) == (apart <= 1.5)
    assert torch.equal(within_reach((3, 4), 1.5, slice(2, 7)), near[2:7])


@pytest.mark.parametrize("wrong", [{"gamma": 1.0}, {"gamma": -0.1}, {"scale": 0.0}, {"steps": 0}, {"long": 0}])
def test_numbers_out_of_range(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        WalkTeacher(**wrong)


def test_teaching_needs_an_encoder_and_refining_its_map() -> None:
    with pytest.raises(UsageError, match="needs an encoder"):
        WalkTeacher().targets(torch.rand(1, 3, 32, 32), 8)
    with pytest.raises(UsageError, match="do not hold"):
        WalkTeacher()(DenseFeatures(torch.randn(1, 4, 3, 3), 8, "toy"))
