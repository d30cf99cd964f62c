"""Encoder, readout and refiners put together: what each is given, and what is refused."""

import pytest
import torch

from densevl.core.errors import UsageError
from densevl.dense.encoder import DenseEncoder, read_dense
from densevl.dense.readouts.plain import PlainReadout
from densevl.dense.refiners.dinoiser import DinoiserRefiner
from densevl.encoders.contracts import NOTHING, Needs, join_needs
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
