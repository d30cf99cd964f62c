"""Feature stacks against sums written out, and on a small CLIP."""

from dataclasses import replace

import pytest
import torch
from toys.clip import tiny_clip

from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures
from densevl.dense.encoder import DenseEncoder
from densevl.dense.stack import FEATURES, FeatureStack, StackRefiner, stack_maps
from densevl.encoders.contracts import Needs

STACK = FeatureStack(("blocks.0", "blocks.0.ln_2", FEATURES), stride=4, short_side=32, window=32, window_stride=24)


def by_hand(maps, grid):
    """Cell by cell: means of finer maps, the four neighbours of coarser ones."""
    result = torch.zeros(len(maps[0]), sum(one.shape[1] for one in maps), *grid, dtype=torch.float64)
    for image in range(len(maps[0])):
        for y in range(grid[0]):
            for x in range(grid[1]):
                pieces = []
                for values in maps:
                    units = values[image].double() / values[image].double().norm(dim=0)
                    factor = units.shape[1] / grid[0]
                    if factor >= 1:
                        n = int(factor)
                        pieces.append(units[:, y * n : (y + 1) * n, x * n : (x + 1) * n].mean((1, 2)))
                        continue
                    piece = torch.zeros(len(units), dtype=torch.float64)
                    for i in range(units.shape[1]):
                        for j in range(units.shape[2]):
                            down = min(max((y + 0.5) * factor - 0.5, 0), units.shape[1] - 1)
                            right = min(max((x + 0.5) * factor - 0.5, 0), units.shape[2] - 1)
                            piece += max(0, 1 - abs(down - i)) * max(0, 1 - abs(right - j)) * units[:, i, j]
                    pieces.append(piece)
                vector = torch.cat(pieces)
                result[image, :, y, x] = vector / vector.norm()
    return result


def test_stack_is_that_of_each_cell_by_itself():
    generator = torch.Generator().manual_seed(0)
    shapes = [(3, 8, 12), (5, 4, 6), (2, 2, 3)]
    maps = [torch.randn(2, *shape, generator=generator) for shape in shapes]
    found = stack_maps(maps, (4, 6))
    torch.testing.assert_close(found.double(), by_hand(maps, (4, 6)), atol=1e-6, rtol=0)


def test_length_of_a_map_does_not_matter():
    maps = [torch.randn(1, 3, 4, 4), torch.randn(1, 5, 2, 2)]
    torch.testing.assert_close(stack_maps(maps, (4, 4)), stack_maps([100 * maps[0], maps[1] / 7], (4, 4)))


def test_name_says_every_setting_and_is_read_back():
    for stack in (STACK, replace(STACK, window=None), replace(STACK, positions="plus", border="drop")):
        assert FeatureStack.parse(stack.name) == stack
        assert FeatureStack.named(stack.name)
    assert replace(STACK, long_side=640).name != STACK.name
    assert not FeatureStack.named(None)
    assert not FeatureStack.named("dense: plain")


@pytest.mark.parametrize(
    "name",
    [
        "dense: plain",
        "stack {",
        "stack []",
        'stack {"maps": ["blocks.0"], "stride": 4}',
        'stack {"maps": 3, "stride": 4, "short_side": 8}',
        'stack {"maps": ["blocks.0"], "stride": 4, "short_side": 8, "flavour": 1}',
    ],
)
def test_what_names_no_stack_is_refused(name):
    with pytest.raises(UsageError, match="names no feature stack"):
        FeatureStack.parse(name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"maps": ()}, "at least one map"),
        ({"maps": ("blocks.0", "blocks.0")}, "each once"),
        ({"stride": 0}, "stride .* above 0; got 0"),
        ({"window": -8}, "window .* above 0"),
        ({"short_side": True}, "short_side .* got True"),
    ],
)
def test_stacks_that_cannot_be(change, message):
    with pytest.raises(UsageError, match=message):
        replace(STACK, **change)


@pytest.fixture(scope="module")
def encoder():
    return tiny_clip().float()


def test_features_of_an_encoder_are_stacked(encoder):
    dense = DenseEncoder(encoder, "plain", [StackRefiner(STACK)])
    plain = DenseEncoder(encoder, "plain")
    images = torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(1))
    found = dense(images)
    maps = encoder.last_block(images, Needs(maps=("blocks.0", "blocks.0.ln_2"))).maps
    expected = stack_maps([maps["blocks.0"], maps["blocks.0.ln_2"], plain(images).grid], (4, 6))
    assert (found.patch_size, found.model_id) == (4, "tiny@1")
    torch.testing.assert_close(found.grid, expected)
    torch.testing.assert_close(found.grid.norm(dim=1), torch.ones(2, 4, 6))
    assert (found.summary, plain(images).summary is None) == (None, False)
    assert dense.stack == STACK.name
    assert plain.stack is None


def test_batch_is_its_members(encoder):
    dense = DenseEncoder(encoder, "plain", [StackRefiner(STACK)])
    images = torch.rand(3, 3, 24, 16)
    alone = DenseFeatures.cat([dense(image[None]) for image in images])
    torch.testing.assert_close(dense(images).grid, alone.grid, atol=1e-5, rtol=0)


def test_grid_ends_with_the_image_and_not_with_its_padding(encoder):
    dense = DenseEncoder(encoder, "plain", [StackRefiner(STACK)])
    assert dense(torch.rand(1, 3, 18, 27)).grid.shape[2:] == (5, 7)  # 24×32 padded pixels would be 6×8 cells


def test_cells_that_do_not_divide_the_patches_are_refused(encoder):
    with pytest.raises(UsageError, match=r"patches of its encoder, which have 8 pixels; got a stride of 3"):
        DenseEncoder(encoder, "plain", [StackRefiner(replace(STACK, stride=3))])
