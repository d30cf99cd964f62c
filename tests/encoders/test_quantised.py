"""Every image tower with linear layers runs with them in int8, near what it was, and a batch is its members."""

import copy

import pytest
import torch
from toys.free import free_model
from toys.timm_towers import OF_VITS, timm_clip

from densevl.core.attention import run_block
from densevl.core.int8 import Int8Weight, dtype_name, int8_fault
from densevl.encoders import quantised
from densevl.encoders.clip import CLIPEncoder
from densevl.encoders.mini import mini_tokenizer
from densevl.encoders.quantised import quantise_images

pytestmark = pytest.mark.skipif(int8_fault() is not None, reason=str(int8_fault()))


@pytest.fixture(autouse=True)
def _narrow(monkeypatch):
    """Toys are narrower than what pays."""
    monkeypatch.setattr(quantised, "LEAST_WIDTH", 8)


@pytest.mark.parametrize("kind", [*OF_VITS, "open_clip", "free"])
@torch.inference_mode()
def test_towers_in_int8_are_near_themselves(kind, tiny_clip):
    if kind in OF_VITS:
        encoder = timm_clip(kind)
    else:
        encoder = CLIPEncoder(tiny_clip() if kind == "open_clip" else free_model().eval(), mini_tokenizer(), "tiny@1")
    small = copy.deepcopy(encoder)
    assert quantise_images(small) == quantise_images(small) > 0
    assert dtype_name(small) == "int8"
    of_tower = {id(weight) for weight in small.model.visual.parameters()}
    assert all(id(weight) in of_tower for weight in small.parameters() if isinstance(weight, Int8Weight))
    height, width = encoder.image_size
    images = torch.rand(2, 3, height, width + encoder.patch_size, generator=torch.Generator().manual_seed(1))
    last, expected = small.last_block(images), encoder.last_block(images)
    assert last.tokens.dtype == expected.tokens.dtype
    assert (last.tokens - expected.tokens).norm() < 0.1 * expected.tokens.norm()
    joint = small.to_joint(run_block(last.block, last.tokens)["out"])
    alone = small.last_block(images[1:])
    assert (alone.tokens[0] - last.tokens[1]).norm() < 0.03 * last.tokens[1].norm()
    # A stem of convolutions rounds as the batch goes on some processors, which turns an integer behind it.
    tokens = last.tokens[1:] if kind == "mobileclip-b" else alone.tokens
    torch.testing.assert_close(small.to_joint(run_block(alone.block, tokens)["out"])[0], joint[1])
    (value,) = last.block.qkv(last.block.norm_1(last.tokens), "v")
    assert value.isfinite().all()
    cosines = (small.embed_images(images) * encoder.embed_images(images)).sum(1)
    assert cosines.min() > 0.98
