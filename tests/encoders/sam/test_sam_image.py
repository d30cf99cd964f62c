"""SAM's image encoder, run a few heads at a time, against segment_anything's own forward pass."""

from functools import partial

import pytest
import torch
from segment_anything.modeling import ImageEncoderViT
from torch import nn

from densevl.core.errors import UsageError
from densevl.encoders.sam import image as sam_image
from densevl.encoders.sam.image import encode_image, encode_with_attention


@pytest.fixture(scope="module")
def encoder() -> ImageEncoderViT:
    """Blocks with windows that do not fill the grid, and blocks without; relative positions that matter."""
    torch.manual_seed(0)
    model = ImageEncoderViT(
        img_size=96, patch_size=16, embed_dim=32, depth=4, num_heads=4, out_chans=8, use_rel_pos=True, window_size=4,
        global_attn_indexes=(1, 3), norm_layer=partial(nn.LayerNorm, eps=1e-6),
    )  # fmt: skip
    for name, parameter in model.named_parameters():
        if "rel_pos" in name or name == "pos_embed":
            nn.init.normal_(parameter)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    """Two images as the encoder takes them."""
    return torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_the_maps_are_those_of_segment_anything(encoder, images, dtype):
    model = encoder.to(dtype)
    assert torch.equal(encode_image(model, images.to(dtype)), model(images.to(dtype)))


@pytest.mark.parametrize("at_once", [1, 36 * 36 * 3])
def test_a_few_heads_at_a_time_give_what_all_give(encoder, images, monkeypatch, at_once):
    """To rounding: a product of small matrices may be added up in another order where it stands alone."""
    model = encoder.float()
    monkeypatch.setattr(sam_image, "WEIGHTS_AT_ONCE", at_once)
    torch.testing.assert_close(encode_image(model, images), model(images), rtol=0, atol=2e-6)


def test_attention_without_positions():
    plain = ImageEncoderViT(img_size=32, patch_size=16, embed_dim=16, depth=2, num_heads=2, use_abs_pos=False).eval()
    images = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(encode_image(plain, images), plain(images))


@pytest.mark.parametrize("positions", [True, False])
def test_the_attention_of_the_last_block(encoder, images, positions):
    """Gathering by it gives what the block gathers, relative positions included."""
    model = encoder.float()
    attention, seen = model.blocks[-1].attn, []
    attention.use_rel_pos = positions
    handles = [
        attention.register_forward_pre_hook(lambda _, given: seen.append(given[0])),
        attention.register_forward_hook(lambda *call: seen.append(call[-1])),
    ]
    expected = model(images)
    maps, found = encode_with_attention(model, images)
    for handle in handles:
        handle.remove()
    attention.use_rel_pos = True
    torch.testing.assert_close(maps, expected)
    query, key, value = (part.flatten(2, 3) for part in found)
    mixed = (query @ key.mT).softmax(-1) @ value
    gathered = attention.proj(mixed.transpose(1, 2).flatten(2)).unflatten(1, (6, 6))
    torch.testing.assert_close(gathered, seen[1], rtol=1e-4, atol=1e-5)


def test_a_last_block_of_windows_tells_nothing_of_the_whole_image():
    within = ImageEncoderViT(img_size=32, patch_size=16, embed_dim=16, depth=1, num_heads=2, window_size=1)
    with pytest.raises(UsageError, match="attends within windows"):
        encode_with_attention(within, torch.zeros(1, 3, 32, 32))
