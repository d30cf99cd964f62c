from collections import Counter

import open_clip
import pytest
import torch
from open_clip.model import resize_pos_embed
from open_clip.transformer import Transformer
from torch import nn
from torchvision.transforms.functional import normalize, to_pil_image
from toys.dense import dense

from densevl.core.errors import UsageError
from densevl.dense.readouts.maskclip import MaskCLIPReadout
from densevl.dense.readouts.plain import PlainReadout
from densevl.encoders.clip import CLIPEncoder
from densevl.encoders.images import check_images, fit
from densevl.encoders.mini import build_mini_clip

MEAN, STD = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
TOKENIZER = open_clip.get_tokenizer("ViT-B-32")

TOWERS = {
    "class token": {},
    "average": {"pool_type": "avg"},
    "average, norm after": {"pool_type": "avg", "final_ln_after_pool": True, "no_ln_pre": True},
    "layer scale": {"ls_init_value": 0.3},
    "sine positions": {"pos_embed_type": "sin_cos_2d"},
    "attention pooling": {"attentional_pool": True, "attn_pooler_heads": 2},
    "tokens too": {"output_tokens": True},
}


def encoder_of(model):
    return CLIPEncoder(model, TOKENIZER, "tiny")


@pytest.fixture(scope="module")
def encoder(tiny_clip):
    return encoder_of(tiny_clip())


def images(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def expected_embedding(model, batch):
    with torch.no_grad():
        found = model.encode_image(normalize(batch, MEAN, STD))
    return torch.nn.functional.normalize(found[0] if isinstance(found, tuple) else found, dim=-1)


@pytest.mark.parametrize("quick_gelu", [True, False])
@pytest.mark.parametrize("tower", TOWERS)
def test_images_of_native_size_embed_as_in_open_clip(tiny_clip, tower, quick_gelu):
    model = tiny_clip(TOWERS[tower], quick_gelu=quick_gelu)
    batch = images(3, 3, 32, 32)
    torch.testing.assert_close(encoder_of(model).embed_images(batch), expected_embedding(model, batch))


def test_vit_b_32_embeds_as_in_open_clip():
    config = open_clip.get_model_config("ViT-B-32-quickgelu")
    config["text_cfg"] |= {"layers": 1, "vocab_size": 100}
    model = open_clip.CLIP(**config).eval()
    batch = images(2, 3, 224, 224)
    torch.testing.assert_close(encoder_of(model).embed_images(batch), expected_embedding(model, batch))


def test_blocks_built_for_sequence_first_tokens_give_the_same(tiny_clip):
    model = tiny_clip()
    batch = images(2, 3, 40, 24)
    before = dense(encoder_of(model), batch, PlainReadout()).grid
    blocks = Transformer(48, 4, 3, batch_first=False)
    blocks.load_state_dict(model.visual.transformer.state_dict())
    model.visual.transformer = blocks.eval()
    torch.testing.assert_close(dense(encoder_of(model), batch, PlainReadout()).grid, before)
    native = images(2, 3, 32, 32)
    torch.testing.assert_close(encoder_of(model).embed_images(native), expected_embedding(model, native))


@pytest.mark.parametrize("size", [(32, 32), (48, 24), (8, 72)])
def test_every_block_agrees_with_a_model_of_that_native_size(tiny_clip, size):
    model = tiny_clip()
    other = tiny_clip({"image_size": size})
    state = model.state_dict()
    resize_pos_embed(state, other, interpolation="bicubic", antialias=False)
    other.load_state_dict(state)
    batch = images(2, 3, *size)
    with torch.no_grad():
        expected = other.visual.forward_intermediates(normalize(batch, MEAN, STD), normalize_intermediates=False)
        last = other.visual.ln_post(expected["image_intermediates"][-1].movedim(1, 3)) @ other.visual.proj
    names = ["blocks.0", "blocks.1", "blocks.-2"]
    found = dense(encoder_of(model), batch, PlainReadout(), names)
    for name, map_ in zip(names, expected["image_intermediates"], strict=False):
        torch.testing.assert_close(found.maps[name], map_)
    torch.testing.assert_close(found.grid, last.movedim(3, 1))
    assert found.grid.shape == (2, 32, size[0] // 8, size[1] // 8)


@pytest.mark.parametrize("part", ["ln_1", "attn", "ln_2", "mlp"])
def test_intermediates_are_the_outputs_of_the_modules(tiny_clip, part):
    model = tiny_clip()
    batch = images(2, 3, 32, 32)
    seen = []
    module = getattr(model.visual.transformer.resblocks[-3], part)
    handle = module.register_forward_hook(lambda _, __, out: seen.append(out[0] if isinstance(out, tuple) else out))
    expected_embedding(model, batch)
    handle.remove()
    found = dense(encoder_of(model), batch, MaskCLIPReadout(), [f"blocks.-3.{part}", f"blocks.1.{part}"])
    expected = seen[0][:, 1:].mT.unflatten(2, (4, 4))
    assert list(found.maps) == [f"blocks.-3.{part}", f"blocks.1.{part}"]
    for map_ in found.maps.values():
        torch.testing.assert_close(map_, expected)


def test_intermediates_cost_no_second_pass(tiny_clip):
    model = tiny_clip()
    calls = Counter()
    for index, block in enumerate(model.visual.transformer.resblocks):
        block.ln_2.register_forward_hook(lambda *_, index=index: calls.update([index]))
    dense(encoder_of(model), images(1, 3, 32, 32), MaskCLIPReadout(), ["blocks.-3.ln_2", "blocks.0.mlp"], keys=True)
    assert calls == {0: 1, 1: 1, 2: 1, 3: 1}


def test_a_batch_gives_what_its_images_give(encoder):
    batch = images(3, 3, 40, 56)
    together = dense(encoder, batch, MaskCLIPReadout(), ["blocks.-3.ln_2"], keys=True)
    for index, image in enumerate(batch):
        alone = dense(encoder, image[None], MaskCLIPReadout(), ["blocks.-3.ln_2"], keys=True)
        torch.testing.assert_close(alone.grid[0], together.grid[index])
        torch.testing.assert_close(alone.keys[0], together.keys[index])
        name = "blocks.-3.ln_2"
        torch.testing.assert_close(alone.maps[name][0], together.maps[name][index])
    embedded = encoder.embed_images(batch)
    torch.testing.assert_close(torch.cat([encoder.embed_images(image[None]) for image in batch]), embedded)


@pytest.mark.parametrize(("size", "grid"), [((37, 50), (5, 7)), ((1, 1), (1, 1)), ((8, 9), (1, 2))])
def test_odd_sizes_are_padded_with_black(encoder, size, grid):
    batch = images(1, 3, *size)
    padded = torch.zeros(1, 3, grid[0] * 8, grid[1] * 8)
    padded[..., : size[0], : size[1]] = batch
    found = dense(encoder, batch, MaskCLIPReadout())
    assert found.grid.shape[2:] == grid
    assert found.patch_size == 8
    torch.testing.assert_close(found.grid, dense(encoder, padded, MaskCLIPReadout()).grid)


def test_moved_weights_move_the_remembered_positions(tiny_clip):
    model = tiny_clip()
    encoder, batch = encoder_of(model), images(1, 3, 48, 48)
    before = dense(encoder, batch, PlainReadout()).grid
    with torch.no_grad():
        model.visual.positional_embedding.mul_(-1)
    after = dense(encoder, batch, PlainReadout()).grid
    assert not torch.allclose(before, after)
    torch.testing.assert_close(after, dense(encoder_of(model), batch, PlainReadout()).grid)


def test_many_sizes_keep_few_positions(encoder):
    for width in range(8, 8 * 41, 8):
        dense(encoder, images(1, 3, 8, width), MaskCLIPReadout())
    assert len(encoder.image._positions._kept) <= 16


@pytest.mark.parametrize("tower", ["class token", "average, norm after"])
def test_bfloat16_stays_close(tiny_clip, tower):
    model = tiny_clip(TOWERS[tower])
    batch = images(2, 3, 48, 40)
    exact = dense(encoder_of(model), batch, MaskCLIPReadout()).grid
    whole = encoder_of(model).embed_images(batch)
    encoder = encoder_of(model).bfloat16()
    rounded = dense(encoder, batch, MaskCLIPReadout()).grid
    assert rounded.dtype == torch.bfloat16
    assert torch.cosine_similarity(exact, rounded.float(), dim=1).min() > 0.999
    assert torch.cosine_similarity(whole, encoder.embed_images(batch)).min() > 0.999


def test_features_can_train_a_head(encoder):
    features = dense(encoder, images(1, 3, 32, 32), MaskCLIPReadout())
    assert not features.grid.requires_grad
    head = torch.nn.Conv2d(32, 2, 1)
    head(features.grid).sum().backward()
    assert head.weight.grad.abs().sum() > 0


def test_cropping_follows_open_clip(encoder):
    image = images(3, 5, 7, seed=1)
    image = torch.nn.functional.interpolate(image[None], (90, 130), mode="bicubic").clamp(0, 1)[0]
    image = (image * 255).round() / 255
    transform = open_clip.image_transform(32, is_train=False, mean=MEAN, std=STD)
    expected = transform(to_pil_image(image))
    found = normalize(fit(image[None], (32, 32), "crop")[0], MEAN, STD)
    # Pillow rounds to whole grey values between its two passes.
    assert (found - expected).abs().max() < 3 / 255 / min(STD)
    assert encoder.embed_images(image[None]).shape == (1, 32)


def test_squashing_keeps_all_of_the_image(encoder):
    image = torch.zeros(1, 3, 40, 120)
    image[..., 110:] = 1
    assert not torch.allclose(encoder.embed_images(image, "squash"), encoder.embed_images(image * 0, "squash"))
    torch.testing.assert_close(encoder.embed_images(image), encoder.embed_images(image * 0))


def test_the_mini_clip_runs_unchanged():
    model, tokenizer = build_mini_clip()
    encoder = CLIPEncoder(model.eval(), tokenizer, "mini")
    size = model.visual.image_size
    batch = images(2, 3, *size)
    torch.testing.assert_close(encoder.embed_images(batch), expected_embedding(model, batch))
    patch = encoder.patch_size
    features = dense(encoder, images(2, 3, 5 * patch - 1, 6 * patch), MaskCLIPReadout(), ["blocks.-2.ln_2"])
    assert features.grid.shape == (2, encoder.dim, 5, 6)
    assert features.maps["blocks.-2.ln_2"].shape == (2, encoder.width, 5, 6)
    assert encoder.embed_texts(["a red circle"]).shape == (1, encoder.dim)
    assert dense(encoder.bfloat16(), batch, MaskCLIPReadout()).grid.dtype == torch.bfloat16


def test_attributes(encoder):
    found = (encoder.patch_size, encoder.dim, encoder.width, encoder.depth, encoder.model_id)
    assert found == (8, 32, 48, 4, "tiny")
    assert encoder.temperature == pytest.approx(1 / 0.07)


def test_attention_pooling_has_no_dense_features(tiny_clip):
    encoder = encoder_of(tiny_clip(TOWERS["attention pooling"]))
    with pytest.raises(UsageError, match="pools its patches by attention"):
        dense(encoder, images(1, 3, 32, 32), MaskCLIPReadout())


@pytest.mark.parametrize("name", ["blocks.-1", "blocks.3.ln_2", "blocks.-5", "blocks.1.norm", "ln_post", "blocks.1."])
def test_unknown_intermediates_are_refused(encoder, name):
    with pytest.raises(UsageError, match="unknown map"):
        dense(encoder, images(1, 3, 32, 32), MaskCLIPReadout(), [name])


def test_other_towers_are_refused(tiny_clip):
    model = tiny_clip()
    model.visual = nn.Linear(1, 1)
    with pytest.raises(UsageError, match="no adapter is known for an image tower of Linear"):
        encoder_of(model)
    with pytest.raises(UsageError, match="CustomResidualAttentionBlock"):
        encoder_of(tiny_clip({"block_type": "custom"}))
    with pytest.raises(UsageError, match="square"):
        encoder_of(tiny_clip({"patch_size": (8, 4)}))


@pytest.mark.parametrize(
    "batch", [torch.rand(3, 8, 8), torch.rand(1, 4, 8, 8), torch.rand(1, 3, 0, 8), torch.ones(1, 3, 8, 8).byte()]
)
def test_what_is_no_image_is_refused(batch):
    with pytest.raises(UsageError, match=r"float tensor \(b, 3, H, W\)"):
        check_images(batch)


def test_unknown_mode_is_refused(encoder):
    with pytest.raises(UsageError, match="`crop` or `squash`"):
        encoder.embed_images(images(1, 3, 9, 9), "stretch")


@pytest.mark.parametrize("size", [(32, 32), (48, 40)])
@pytest.mark.parametrize("tower", ["class token", "average, norm after", "tokens too"])
def test_patches_and_whole_images_come_of_one_pass(tiny_clip, tower, size):
    model = tiny_clip(TOWERS[tower])
    encoder, batch, passes = encoder_of(model), images(2, 3, *size), Counter()
    model.visual.conv1.register_forward_hook(lambda *_: passes.update(["image"]))
    tokens, pooled = encoder.forward_images(batch)
    assert passes == {"image": 1}
    assert torch.equal(tokens.detach(), encoder.tokens(batch))
    if size == (32, 32):
        torch.testing.assert_close(torch.nn.functional.normalize(pooled, dim=1), expected_embedding(model, batch))


def test_gradients_of_images_and_texts_are_those_of_open_clip(tiny_clip):
    model = tiny_clip().double()
    encoder, batch = encoder_of(model), images(2, 3, 32, 32).double()
    texts = ["a cat", "a very long-haired red cat, asleep on the sofa of a friend"]
    weights = {name: weight for name, weight in model.named_parameters() if name != "logit_scale"}
    aim = torch.randn(2, 32, dtype=torch.float64)
    mean, std = (torch.tensor(value, dtype=torch.float64)[:, None, None] for value in (MEAN, STD))
    wanted = (model.encode_image((batch - mean) / std) * aim).sum() + (model.encode_text(TOKENIZER(texts)) * aim).sum()
    found = (encoder.forward_images(batch)[1] * aim).sum() + (encoder.forward_texts(texts) * aim).sum()
    gradients = (torch.autograd.grad(loss, list(weights.values())) for loss in (wanted, found))
    for name, one, other in zip(weights, *gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-10, msg=name)


def test_positions_of_another_grid_have_a_gradient(tiny_clip):
    model = tiny_clip()
    encoder, batch = encoder_of(model), images(1, 3, 48, 40)
    encoder.tokens(batch)
    encoder.forward_images(batch)[1].sum().backward()
    assert model.visual.positional_embedding.grad.abs().sum(1).min() > 0


def test_attention_pooling_is_not_pooled_in_training(tiny_clip):
    with pytest.raises(UsageError, match="pools its patches by attention"):
        encoder_of(tiny_clip(TOWERS["attention pooling"])).forward_images(images(1, 3, 32, 32))


def test_a_text_beyond_the_context_is_cut_in_training_alone(encoder):
    long = "red " * 100
    assert torch.equal(encoder.forward_texts([long]), encoder.forward_texts(["red " * 75]))
    with pytest.raises(UsageError, match="tokens"):
        encoder.embed_texts([long])
