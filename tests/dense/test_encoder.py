"""Encoder, readout and refiners put together: what each is given, and what is refused."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch

from densevl.core.attention import run_block
from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures
from densevl.dense.contracts import Read
from densevl.dense.encoder import DenseEncoder, read_dense
from densevl.dense.readouts.plain import PlainReadout
from densevl.dense.refiners.dinoiser import DinoiserRefiner
from densevl.encoders.contracts import NOTHING, Needs, join_needs
from densevl.encoders.images import continued
from densevl.encoders.loading import build_clip


@pytest.fixture(scope="module")
def clip():
    return build_clip("mini-clip", text_cache=False)


@pytest.mark.parametrize("size", [(36, 44), (32, 40)])
@pytest.mark.parametrize("border", ["black", "drop"])
def test_heads_on_sub_patches_see_what_the_encoder_sees(clip, size, border):
    heads = DinoiserRefiner(clip.width, 8, "blocks.0.ln_2", sub_patch=4)
    images = torch.rand(2, 3, *size)
    found = DenseEncoder(clip, refiners=[heads], border=border)(images).grid
    side = 4 if border == "drop" else -(-size[0] // 8)
    assert found.shape[2] in (2 * side, -(-size[0] // 4))
    cut = images[..., : size[0] // 8 * 8, : size[1] // 8 * 8]
    if border == "drop":
        torch.testing.assert_close(found, DenseEncoder(clip, refiners=[heads])(cut).grid)


def test_dropping_is_cutting_off(clip):
    images = torch.rand(1, 3, 37, 45)
    found = DenseEncoder(clip, border="drop")(images).grid
    torch.testing.assert_close(found, DenseEncoder(clip)(images[..., :32, :40]).grid)


def test_a_batch_gives_what_its_members_give(clip):
    dense, images = DenseEncoder(clip, "naclip", positions="plus"), torch.rand(3, 3, 40, 56)
    together = dense(images).grid
    for image, grid in zip(images, together, strict=True):
        torch.testing.assert_close(dense(image[None]).grid[0], grid, atol=1e-4, rtol=1e-4)


def test_ways_to_resize_positions_differ_but_at_the_native_size(clip):
    images, native = torch.rand(1, 3, 40, 56), torch.rand(1, 3, *clip.image_size)
    grids = [DenseEncoder(clip, positions=way)(images).grid for way in ("size", "plus", "bilinear")]
    assert not torch.allclose(grids[0], grids[1])
    assert not torch.allclose(grids[0], grids[2])
    same = [DenseEncoder(clip, positions=way)(native).grid for way in ("size", "plus", "bilinear", "antialias")]
    assert all(torch.equal(same[0], other) for other in same[1:])


def test_needs_are_joined():
    guide = lambda images: None  # noqa: E731
    joined = join_needs([NOTHING, Needs(maps=("b", "a")), Needs(maps=("a",), keys=True), Needs(guide=guide)])
    assert joined == Needs(("a", "b"), False, True, guide)


def test_what_is_missing_is_refused(clip):
    for needs, message in ((Needs(windows=True), "all windows"), (Needs(texts=True), "needs the texts")):
        with pytest.raises(UsageError, match=message):
            read_dense(clip, torch.rand(1, 3, 32, 32), PlainReadout(), needs)
    with pytest.raises(UsageError, match="embeds no patches"):
        DenseEncoder({"type": "whole-clip", "weights": "mini-clip"})


@dataclass
class Asking:
    """A readout that keeps what it was given and answers what it is told to."""

    needs: Needs
    answer: Any = None
    name = "asking"

    def __call__(self, last):
        self.last = last
        return last.output() if self.answer is None else self.answer(last)


def test_tokens_between_the_blocks_lead_to_the_last_one(clip):
    readout = Asking(Needs(states=(0, 2, -1)))
    read_dense(clip, torch.rand(2, 3, 40, 56), readout)
    last = readout.last
    assert set(last.states) == {0, 2, -1}
    x = last.states[0]
    for place, block in enumerate(last.blocks[:-1], start=1):
        x = run_block(block, x)["out"]
        if place == 2:
            assert torch.equal(x, last.states[2])
    assert torch.equal(x, last.tokens)
    assert last.states[-1] is last.tokens
    assert last.pool(x).shape == (2, clip.dim)
    assert last.to_joint(x).shape == (*x.shape[:2], clip.dim)


@pytest.mark.parametrize("place", [4, -5])
def test_tokens_behind_the_last_block_are_not_there_yet(clip, place):
    with pytest.raises(UsageError, match=f"behind block {place} were asked of an image tower of 4 blocks.*0 to 3"):
        read_dense(clip, torch.rand(1, 3, 16, 16), Asking(Needs(states=(place,))))


@pytest.mark.parametrize(
    ("border", "extent"), [("black", None), ("drop", (0, 0, 45, 37)), ("centre56", (-5, -9, 51, 47))]
)
def test_a_grid_says_what_it_covers(clip, border, extent):
    found = DenseEncoder(clip, border=border)(torch.rand(1, 3, 37, 45))
    assert found.extent == extent
    assert found.patch_size == 8


def test_centred_images_lie_in_the_mean_colour(clip):
    image = torch.rand(1, 3, 37, 45)
    padded = torch.tensor(clip.mean)[None, :, None, None].expand(1, 3, 56, 56).clone()
    padded[:, :, 9:46, 5:50] = image
    found = DenseEncoder(clip, border="centre56")(image).grid
    torch.testing.assert_close(found, DenseEncoder(clip)(padded).grid)


def test_a_centred_border_needs_a_colour(clip):
    with pytest.raises(UsageError, match=r"centre56 continues images in the mean colour.*tells none"):
        continued(torch.rand(1, 3, 8, 8), 8, "centre56", None)


def test_a_readout_may_answer_on_any_grid_and_in_the_joint_space(clip):
    images = torch.rand(2, 3, 40, 40)
    joint = torch.rand(2, clip.dim, 7, 9)
    whole, regions = torch.rand(2, clip.dim), torch.zeros(2, 3, 4, dtype=torch.int64)
    readout = Asking(Needs(), lambda last: Read(joint, joint=True, whole=whole, regions=regions))
    found = DenseEncoder(clip, readout)(images)
    assert found.grid is joint
    assert found.whole is whole
    assert found.regions is regions
    assert found.extent == (0, 0, 40, 40)
    halves = found.split([1, 1])
    assert halves[0].extent == found.extent
    assert torch.equal(DenseFeatures.cat(halves).whole, whole)


def test_one_map_of_all_windows_covers_their_image(clip):
    readout = Asking(Needs(windows=True), lambda last: Read(last.output().mean(0, keepdim=True), spliced=True))
    boxes = ((0, 0, 32, 32), (16, 0, 48, 32))
    found = DenseEncoder(clip, readout)(torch.rand(2, 3, 32, 32), windows=boxes)
    assert found.grid.shape[0] == 1
    assert found.extent == (0, 0, 48, 32)
    assert found.summary.shape[0] == 1
    heads = DinoiserRefiner(clip.width, 8, "blocks.0.ln_2")
    with pytest.raises(UsageError, match="one map of all windows, without maps and keys; leave what needs them"):
        DenseEncoder(clip, readout, [heads])(torch.rand(2, 3, 32, 32), windows=boxes)
