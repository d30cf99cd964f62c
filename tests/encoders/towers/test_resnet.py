"""ResNets with attention pooling: label maps by MaskCLIP's definition, and whole images as open_clip embeds them."""

import pytest
import torch
import torch.nn.functional as F
from open_clip.tokenizer import SimpleTokenizer
from toys.dense import dense
from toys.resnet import resnet_clip

from densevl.core.attention import run_block
from densevl.core.errors import UsageError
from densevl.core.images import normalise
from densevl.dense.encoder import DenseEncoder
from densevl.dense.readouts.maskclip import MaskCLIPReadout
from densevl.dense.readouts.naclip import NACLIPReadout
from densevl.dense.readouts.plain import PlainReadout
from densevl.encoders.clip import CLIPEncoder

READOUTS = [MaskCLIPReadout(), MaskCLIPReadout(residual=False, mlp=False), NACLIPReadout(), PlainReadout()]


def assert_near(found, expected):
    assert found.shape == expected.shape
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.fixture(scope="module")
def encoder():
    return CLIPEncoder(resnet_clip(), SimpleTokenizer(), "resnet")


@pytest.fixture(scope="module")
def batch():
    return torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


def last_map(encoder, images):
    visual = encoder.model.visual
    with torch.no_grad():
        x = visual.stem(normalise(images, encoder.mean, encoder.std))
        return visual.layer4(visual.layer3(visual.layer2(visual.layer1(x))))


def test_a_cell_is_its_value_projected(encoder, batch):
    pool = encoder.model.visual.attnpool
    with torch.no_grad():
        expected = pool.c_proj(pool.v_proj(last_map(encoder, batch).movedim(1, 3))).movedim(3, 1)
    for readout in READOUTS[:2]:
        assert_near(dense(encoder, batch, readout).grid, expected)
    assert expected.shape == (2, 32, 2, 3)


def test_the_block_pools_as_open_clip_does(encoder):
    images = torch.rand(2, 3, 64, 64)
    tokens, grid = encoder.image.tokens(normalise(images, encoder.mean, encoder.std))
    with torch.no_grad():
        pooled = encoder.image.pool(run_block(encoder.image.blocks_on(grid)[0], tokens)["out"])
        whole = encoder.model.encode_image(normalise(images, encoder.mean, encoder.std))
    assert_near(pooled, whole)
    assert_near(encoder.forward_images(images)[1], whole)
    assert_near(encoder.embed_images(images), F.normalize(whole, dim=1))


def test_a_cell_of_the_plain_readout_asks_as_the_mean_does(encoder):
    """open_clip's own attention, with a cell in the place of the mean."""
    images = torch.rand(1, 3, 64, 64)
    found = dense(encoder, images, PlainReadout()).grid
    pool, x = encoder.model.visual.attnpool, last_map(encoder, images).flatten(2).permute(2, 0, 1)
    x = torch.cat([x.mean(0, keepdim=True), x]) + pool.positional_embedding[:, None]
    weights = {f"{name}_proj_weight": getattr(pool, f"{name}_proj").weight for name in "qkv"}
    bias = torch.cat([getattr(pool, f"{name}_proj").bias for name in "qkv"])
    with torch.no_grad():
        expected, _ = F.multi_head_attention_forward(
            *(x, x, x, x.shape[-1], pool.num_heads, None, bias, None, None, False, 0.0),
            *(pool.c_proj.weight, pool.c_proj.bias),
            use_separate_proj_weight=True,
            need_weights=False,
            **weights,
        )
    assert_near(found, expected[1:].permute(1, 2, 0).unflatten(2, (2, 2)))


def test_naclip_mixes_values_by_keys_at_their_places(encoder, batch):
    tokens, grid = encoder.image.tokens(normalise(batch, encoder.mean, encoder.std))
    block = encoder.image.blocks_on(grid)[0]
    keys, values = block.qkv(tokens, "kv")
    assert torch.equal(keys, block.qkv(tokens)[1])
    assert torch.equal(values, block.qkv(tokens, "v")[0])
    assert not torch.allclose(values, block.qkv(tokens)[2])
    mixed = (keys @ keys.mT / keys.shape[-1] ** 0.5).softmax(-1) @ values
    expected = encoder.to_joint(mixed.transpose(1, 2).flatten(2))[:, 1:].mT.unflatten(2, grid)
    assert_near(dense(encoder, batch, NACLIPReadout(sigma=None)).grid, expected)


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("size", [(64, 64), (33, 100), (5, 5)])
def test_any_size_and_a_batch_gives_what_its_images_give(encoder, readout, size):
    images = torch.rand(2, 3, *size)
    together = dense(encoder, images, readout).grid
    assert together.shape == (2, 32, -(-size[0] // 32), -(-size[1] // 32))
    for index, image in enumerate(images):
        assert_near(dense(encoder, image[None], readout).grid[0], together[index])


@pytest.mark.parametrize("positions", ["plus", "bilinear"])
def test_positions_are_resized_as_asked(encoder, positions):
    images = torch.rand(1, 3, 96, 128)
    found = [DenseEncoder(encoder, "plain", positions=way)(images).grid for way in ("size", positions)]
    assert not torch.equal(*found)
    assert torch.cosine_similarity(*found).min() > 0.9


def test_one_block_has_no_earlier_maps_and_no_head(encoder, batch):
    with pytest.raises(UsageError, match=r"'blocks\.-3\.ln_2'.*one block alone"):
        dense(encoder, batch, MaskCLIPReadout(), ["blocks.-3.ln_2"])
    with pytest.raises(UsageError, match="take a CLIP with a ViT"):
        encoder.image.head()
    assert (encoder.depth, encoder.width, encoder.patch_size) == (1, 256, 32)


def test_keys_are_those_of_the_grid(encoder, batch):
    assert dense(encoder, batch, MaskCLIPReadout(), keys=True).keys.shape == (2, 256, 2, 3)


def test_bfloat16_stays_close(encoder, batch):
    exact = dense(encoder, batch, MaskCLIPReadout()).grid
    rounded = dense(CLIPEncoder(resnet_clip().bfloat16(), SimpleTokenizer(), "16"), batch, MaskCLIPReadout()).grid
    assert rounded.dtype == torch.bfloat16
    assert torch.cosine_similarity(exact, rounded.float(), dim=1).min() > 0.98
