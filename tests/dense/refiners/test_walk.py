"""Random walks over patches: probabilities, walls, batches, and what they teach."""

import pytest
import torch

from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures
from densevl.dense.refiners.affinity import pair_cosines, pairs_within
from densevl.dense.refiners.walk import WalkTeacher, border_share, colours, ends_of_walks, transitions


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


def matrix(steps: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """The probabilities of one step from each patch (row) to each (column)."""
    index, inside = pairs_within(grid, 1.5)
    full = torch.zeros(len(steps), len(index), len(index))
    for p, k in inside.nonzero().tolist():
        full[:, p, index[p, k]] = steps[:, p, k]
    return full


def test_steps_are_probabilities_of_neighbours() -> None:
    steps = matrix(transitions(torch.randn(2, 5, 4, 6), 0.5), (4, 6))
    assert torch.allclose(steps.sum(2), torch.ones(2, 24))
    for start in range(24):
        for end in range(24):
            apart = max(abs(start // 6 - end // 6), abs(start % 6 - end % 6))
            assert (steps[:, start, end] > 0).all() == (apart <= 1)


def test_steps_by_their_equation() -> None:
    tapped, colour = torch.randn(1, 5, 3, 4), torch.rand(1, 3, 3, 4)
    steps = matrix(transitions(tapped, 0.7, colour, 0.4), (3, 4))[0]
    weights = torch.zeros(12, 12)
    for p in range(12):
        for q in range(12):
            if max(abs(p // 4 - q // 4), abs(p % 4 - q % 4)) <= 1:
                one, other = (tapped[0].flatten(1)[:, i] for i in (p, q))
                cosine = torch.cosine_similarity(one, other, dim=0)
                apart = (colour[0].flatten(1)[:, p] - colour[0].flatten(1)[:, q]).norm()
                weights[p, q] = (-(((1 - cosine) / 0.7) ** 2) - (apart / 0.4) ** 2).exp()
    torch.testing.assert_close(steps, weights / weights.sum(1, keepdim=True), rtol=1e-4, atol=1e-6)


def test_walks_end_where_the_power_of_the_steps_says() -> None:
    steps = transitions(torch.randn(2, 5, 4, 6), 0.5)
    power = torch.linalg.matrix_power(matrix(steps, (4, 6)), 5)
    torch.testing.assert_close(ends_of_walks(steps, (4, 6), 5).flatten(2).mT, power, rtol=1e-4, atol=1e-5)
    cosines = torch.nn.functional.normalize(power, dim=2)
    marked = pair_cosines(ends_of_walks(steps, (4, 6), 5, 4000))
    assert (marked - cosines @ cosines.mT).abs().max() < 0.1
    again = ends_of_walks(steps[1:], (4, 6), 5, 16)
    torch.testing.assert_close(again, ends_of_walks(steps, (4, 6), 5, 16)[1:])


def test_a_wall_parts_what_looks_alike() -> None:
    affinity = pair_cosines(ends_of_walks(transitions(two_rooms(), 0.2), (6, 7), 8))[0]
    room = (torch.arange(42) % 7 - 3).sign()
    assert affinity[room == -1][:, room == 1].max() < 1e-3
    assert affinity[0, 7 + 1] > 0.6
    assert torch.allclose(affinity.diagonal(), torch.ones(42))


def test_colours_are_half_the_brightness_and_two_differences() -> None:
    images = torch.rand(1, 3, 4, 6)
    found = colours(images, 2)
    red, green, blue = images[0, :, 2:4, 4:6].mean((1, 2)).tolist()
    brightness = 0.299 * red + 0.587 * green + 0.114 * blue
    expected = [brightness / 2, 0.5 * (blue - brightness) / (1 - 0.114), 0.5 * (red - brightness) / (1 - 0.299)]
    assert found[0, :, 1, 2].tolist() == pytest.approx(expected, abs=1e-5)


def test_colours_part_what_the_map_does_not() -> None:
    """Sub-patches of one patch, half black and half white, take the features of their own sides."""
    image = torch.zeros(1, 3, 16, 16)
    image[..., 9:] = 1
    tapped = torch.ones(1, 2, 2, 2)
    grid = torch.tensor([0.0, 1.0]).expand(1, 1, 2, 2)
    before = DenseFeatures(grid, 8, "toy", maps={"m": tapped})
    teacher = WalkTeacher(layer="m", colour=0.1, sub_patch=1, marks=64, radius=2.9, rounds=30)
    after = teacher(before, image)
    assert (after.patch_size, after.grid.shape[2:]) == (1, (16, 16))
    assert after.grid[..., 8].max() < 0.5, "white begins at column 9"
    assert after.grid[..., 9:].min() > 0.999


def test_walks_from_a_thing_stay_off_the_border() -> None:
    share = border_share(transitions(island(), 0.2), (9, 9), 32)[0]
    inside = torch.zeros(9, 9, dtype=torch.bool)
    inside[3:6, 3:6] = True
    assert share[inside].max() < 0.1 < 0.5 < share[~inside].min()


def test_endless_walks_are_anywhere_as_often_as_it_has_neighbours() -> None:
    steps = transitions(torch.ones(1, 2, 4, 5), 1.0)
    inside = pairs_within((4, 5), 1.5)[1].sum(1)
    border = torch.ones(4, 5)
    border[1:-1, 1:-1] = 0
    settled = (inside * border.flatten()).sum() / inside.sum() / border.mean()
    assert torch.allclose(border_share(steps, (4, 5), 200), settled.expand(1, 4, 5), atol=1e-4)


def test_border_share_is_the_power_of_the_steps() -> None:
    steps = transitions(torch.randn(2, 4, 5, 5), 1.0)
    border = torch.ones(5, 5)
    border[1:-1, 1:-1] = 0
    expected = torch.linalg.matrix_power(matrix(steps, (5, 5)), 6) @ border.flatten() / border.mean()
    assert torch.allclose(border_share(steps, (5, 5), 6).flatten(1), expected, atol=1e-5)


def test_refines_a_batch_as_its_members() -> None:
    teacher = WalkTeacher(layer="blocks.0")
    grids, maps = torch.randn(2, 8, 5, 6), torch.randn(2, 4, 5, 6)
    both = teacher(DenseFeatures(grids, 8, "toy", maps={"blocks.0": maps}))
    for i in range(2):
        one = teacher(DenseFeatures(grids[i : i + 1], 8, "toy", maps={"blocks.0": maps[i : i + 1]}))
        assert torch.allclose(both.grid[i], one.grid[0], atol=1e-5)
        assert torch.allclose(both.foreground[i], one.foreground[0], atol=1e-5)


def test_refining_makes_rooms_uniform_and_keeps_them_apart() -> None:
    tapped = two_rooms()
    grid = torch.randn(1, 4, 6, 7) * 0.1
    grid[:, :, :, 4:] += 5
    pooled = WalkTeacher(layer="m", steps=64)(DenseFeatures(grid, 8, "toy", maps={"m": tapped})).grid
    assert pooled[..., :3].std(dim=(2, 3)).max() < grid[..., :3].std(dim=(2, 3)).min()
    assert (pooled[..., 4:].mean() - pooled[..., :3].mean()) > 4.5


@pytest.mark.parametrize(
    "wrong", [{"gamma": 1.0}, {"gamma": -0.1}, {"scale": 0.0}, {"steps": 0}, {"long": 0}, {"colour": -1.0}]
)
def test_numbers_out_of_range(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        WalkTeacher(**wrong)


def test_teaching_needs_an_encoder_and_refining_its_map() -> None:
    with pytest.raises(UsageError, match="needs an encoder"):
        WalkTeacher().targets(torch.rand(1, 3, 32, 32), 8)
    with pytest.raises(UsageError, match="reads the images, too"):
        WalkTeacher(layer="m", colour=0.1)(
            DenseFeatures(torch.randn(1, 4, 3, 3), 8, "toy", maps={"m": torch.rand(1, 2, 3, 3)})
        )
    with pytest.raises(UsageError, match="do not hold"):
        WalkTeacher()(DenseFeatures(torch.randn(1, 4, 3, 3), 8, "toy"))
