"""SAM's image encoder, run a few heads at a time, against segment_anything's own forward pass."""

from functools import partial

import pytest
import torch
from segment_anything.modeling import ImageEncoderViT
from torch import nn

from densevl.regions.mask_makers import sam_encoder
from densevl.regions.mask_makers.sam_encoder import encode_image


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
    monkeypatch.setattr(sam_encoder, "WEIGHTS_AT_ONCE", at_once)
    torch.testing.assert_close(encode_image(model, images), model(images), rtol=0, atol=2e-6)


def test_attention_without_positions():
    plain = ImageEncoderViT(img_size=32, patch_size=16, embed_dim=16, depth=2, num_heads=2, use_abs_pos=False).eval()
    images = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(encode_image(plain, images), plain(images))
