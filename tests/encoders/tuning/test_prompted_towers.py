"""Towers with learnt tokens: everything that reads an encoder reads it with them."""

from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from toys.pretend_device import DEVICE, pretended_device
from toys.timm_towers import timm_clip

from densevl.core.attention import run_block
from densevl.core.errors import TextTooLong, UsageError
from densevl.core.gradients import gradients
from densevl.dense.encoder import DenseEncoder
from densevl.encoders.clip import CLIPEncoder
from densevl.encoders.contracts import ImageTower, LearntTemplate, Needs
from densevl.encoders.mini import build_mini_clip
from densevl.encoders.tuning.conditional_context import ConditionalContext
from densevl.encoders.tuning.context import Context
from densevl.encoders.tuning.contracts import ClassTexts, Look, Tunable
from densevl.encoders.tuning.deep_prompts import DeepPrompts
from densevl.encoders.tuning.visual_tokens import VisualTokens

KINDS = {
    "deep": lambda encoder: DeepPrompts(encoder, words="", depth=3),
    "accumulate": lambda encoder: DeepPrompts(encoder, words="", depth=2, shared=True, images="accumulate"),
    "visual": lambda encoder: VisualTokens(encoder, count=3),
}


def mini():
    torch.manual_seed(0)
    model, tokenizer = build_mini_clip()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return CLIPEncoder(model.eval().requires_grad_(False), tokenizer, "mini@new")


@pytest.fixture(scope="module")
def plain():
    return mini()


@pytest.fixture(scope="module", params=KINDS)
def prompted(request):
    """An encoder with learnt tokens that are far from small."""
    encoder = mini()
    tunable = KINDS[request.param](encoder)
    torch.manual_seed(1)
    for parameter in tunable.parameters():
        parameter.data += 0.5 * torch.randn_like(parameter)
    tunable.attach(encoder)
    encoder.tunable = tunable.requires_grad_(False)
    return encoder


def images(count=2, height=40, width=56):
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(3))


def test_they_keep_the_contracts(prompted, plain):
    assert isinstance(prompted.tunable, Tunable)
    assert isinstance(prompted.image, ImageTower)
    assert isinstance(Context(plain), ClassTexts)
    assert isinstance(ConditionalContext(plain), ClassTexts)
    with pytest.raises(UsageError, match="cannot be folded"):
        prompted.tunable.fold(prompted)


def test_images_are_embedded_otherwise_and_one_by_one_alike(prompted, plain):
    both = prompted.embed_images(images())
    assert not torch.allclose(both, plain.embed_images(images()), atol=1e-4, rtol=0)
    torch.testing.assert_close(torch.cat([prompted.embed_images(one[None]) for one in images()]), both)


def test_the_pass_block_by_block_is_that_of_whole_images(prompted):
    last = prompted.last_block(images(2, 128, 128))
    assert last.tokens.shape[1] == last.prefix + last.grid[0] * last.grid[1]
    pooled = F.normalize(last.pool(run_block(last.block, last.tokens)["out"]), dim=1)
    torch.testing.assert_close(pooled, prompted.embed_images(images(2, 128, 128)))


@pytest.mark.parametrize("readout", ["maskclip", "naclip", "sclip", "plain"])
def test_dense_features_on_a_grid_that_is_no_square(prompted, plain, readout):
    dense = DenseEncoder(prompted, readout)
    found = dense(images()).grid
    assert found.shape == (2, plain.dim, 5, 7)
    torch.testing.assert_close(torch.cat([dense(one[None]).grid for one in images()]), found, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(found, DenseEncoder(plain, readout)(images()).grid, atol=1e-4, rtol=0)


def test_patches_come_last_in_maps(prompted):
    last = prompted.last_block(images(), Needs(maps=("blocks.0", "blocks.2")))
    assert {tuple(one.shape[2:]) for one in last.maps.values()} == {last.grid}
    torch.testing.assert_close(last.on_grid(last.tokens), last.maps["blocks.2"])


def test_states_are_refused_where_tokens_are_added_from_block_to_block(prompted):
    needs = Needs(states=(0, -1))
    if prompted.tunable.settings.get("images") == "accumulate":
        with pytest.raises(UsageError, match="adds tokens from block to block"):
            prompted.last_block(images(), needs)
    else:
        states = prompted.last_block(images(), needs).states
        assert states[0].shape == states[-1].shape


def test_gradients_reach_every_number_through_dense_features():
    for kind in KINDS.values():
        encoder = mini()
        tunable = kind(encoder)
        tunable.attach(encoder)
        with gradients():
            found = DenseEncoder(encoder, "naclip")(images()).grid.square().sum()
            if "text" in tunable.towers:
                found = found + encoder.embed_texts(["red ring"]).sum()
        found.backward()
        assert all(one.grad is not None and one.grad.abs().sum() > 0 for one in tunable.parameters())


def test_learnt_tokens_take_the_place_of_templates(prompted, plain):
    context = Context(plain, count=2)
    encoder = mini()
    context.attach(encoder)
    assert isinstance(encoder.text, LearntTemplate)
    free = encoder.embed_texts(["a red ring", "blue"], ["a photo of {}", "{}"])
    torch.testing.assert_close(free, context.class_vectors(["a red ring", "blue"]))
    torch.testing.assert_close(F.normalize(encoder.forward_texts(["blue"]), dim=1), free[1:])
    if "text" not in prompted.tunable.towers:
        torch.testing.assert_close(prompted.embed_texts(["blue"]), plain.embed_texts(["blue"]))


def test_texts_lose_last_words_where_learnt_tokens_leave_no_room(plain):
    long = " ".join(["ring"] * 60)
    encoder = mini()
    context = Context(encoder, count=16)
    context.attach(encoder)
    with pytest.raises(TextTooLong, match="beside 16 learnt ones the text encoder takes 32"):
        encoder.embed_texts([long])
    with pytest.raises(TextTooLong, match="beside 16 learnt"):
        context.class_vectors([long])
    fitted, lost = encoder.fit_texts([long])
    assert lost == 1
    assert len(plain.fit_texts([long])[0][0]) > len(fitted[0])
    encoder.embed_texts(fitted)
    assert encoder.forward_texts([long]).shape == (1, encoder.dim)


def test_texts_that_depend_on_images_are_those_of_each_by_itself(plain):
    context = ConditionalContext(plain, words="", count=3)
    vectors = plain.embed_images(images(3))
    together = context.class_vectors(["red ring", "blue"], Look(vectors))
    each = [context.class_vectors(["red ring", "blue"], Look(one[None])) for one in vectors]
    torch.testing.assert_close(together, torch.cat(each))
    assert together.shape == (3, 2, plain.dim)
    with pytest.raises(UsageError, match="none is looked at"):
        context.class_vectors(["blue"])


def test_a_class_with_tokens_of_its_own_has_them_wherever_it_is_listed(plain):
    context = Context(plain, count=2, names=["red ring", "blue", "dot"])
    all_of_them = context.class_vectors(["red ring", "blue", "dot"])
    torch.testing.assert_close(context.class_vectors(["dot", "red ring"]), all_of_them[[2, 0]])
    with pytest.raises(UsageError, match="no context was learnt for star"):
        context.class_vectors(["star", "dot"])


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda one: DeepPrompts(one, words="", depth=4), "the text tower has 3 blocks; give 1 to 3"),
        (lambda one: DeepPrompts(one, words="", depth=0), "give 1 to 3"),
        (lambda one: Context(one).class_vectors([]), "at least one name"),
        (lambda one: Context(one).class_vectors(["dot", " "]), "none that is blank"),
        (lambda one: Context(one, count=0), "at least one token"),
        (lambda one: Context(one, words="a red", count=9), "cannot give 9 learnt tokens"),
        (lambda one: Context(one, words="a red", count=1, place="front"), "allow the end alone"),
        (lambda one: Context(one, place="below"), "end, middle, front"),
        (lambda one: Context(one, names=["dot", "dot"]), "each once"),
        (lambda one: ConditionalContext(one, reduction=0), "reduction is 1 to"),
        (lambda one: VisualTokens(one, count=0), "at least one token"),
        (lambda one: DeepPrompts(one, words="", depth=2, images="add"), "replace, accumulate, accumulate-same"),
    ],
)
def test_bad_settings_are_refused(plain, make, error):
    with pytest.raises(UsageError, match=error):
        make(plain)


def test_a_copy_of_the_encoder_computes_with_tokens_of_its_own(prompted):
    before, copy = prompted.embed_images(images()), deepcopy(prompted)
    torch.testing.assert_close(copy.embed_images(images()), before)
    for parameter in copy.tunable.parameters():
        parameter.data.neg_()
    assert not torch.allclose(copy.embed_images(images()), before, atol=1e-4, rtol=0)
    torch.testing.assert_close(prompted.embed_images(images()), before)


def test_an_encoder_that_has_learnt_tokens_gets_no_more(prompted):
    with pytest.raises(UsageError, match="already"):
        VisualTokens(prompted)
    if "text" in prompted.tunable.towers:
        with pytest.raises(UsageError, match="already"):
            Context(prompted)


@pytest.mark.parametrize(
    ("kind", "error"),
    [("siglip", "pools its patches by an attention"), ("mobileclip-s", "an image tower of FastViTTower takes no")],
)
def test_other_image_towers_are_refused_with_a_reason(kind, error):
    with pytest.raises(UsageError, match=error):
        VisualTokens(timm_clip(kind))


def test_other_text_towers_are_refused_with_a_reason(plain):
    encoder = mini()
    encoder.text.short_context = False  # as where tokens see what is behind them
    for kind in (Context, ConditionalContext, lambda one: DeepPrompts(one, words="")):
        with pytest.raises(UsageError, match="causal text tower"):
            kind(encoder)


@pytest.mark.parametrize("kind", ["eva02", "learned-rope", "laclip", "mean", "registers"])
def test_towers_of_timm_keep_the_places_of_their_patches(kind):
    plain, encoder = timm_clip(kind), timm_clip(kind)
    tunable = VisualTokens(encoder, count=3).requires_grad_(False)
    tunable.vectors.data += 0.5
    tunable.attach(encoder)
    last, bare = encoder.last_block(images(1, 64, 96)), plain.last_block(images(1, 64, 96))
    assert last.prefix == bare.prefix + 3
    kept = torch.cat([last.tokens[:, : bare.prefix], last.tokens[:, last.prefix :]], 1)
    for found, wanted in zip(last.block.qkv(kept_with(last, kept)), bare.block.qkv(kept), strict=True):
        torch.testing.assert_close(found[:, :, last.prefix :], wanted[:, :, bare.prefix :])
    both = encoder.embed_images(images())
    torch.testing.assert_close(torch.cat([encoder.embed_images(one[None]) for one in images()]), both)
    assert not torch.allclose(both, plain.embed_images(images()), atol=1e-4, rtol=0)


def kept_with(last, kept):
    """Tokens with three more before the patches."""
    start = last.prefix - 3
    return torch.cat([kept[:, :start], last.tokens[:, start : last.prefix], kept[:, start:]], 1)


def test_the_learnt_tokens_follow_the_encoder_to_its_device():
    encoder = mini()
    tunable = KINDS["deep"](encoder)
    tunable.attach(encoder)
    here, texts = encoder.embed_images(images()), encoder.embed_texts(["red ring"])
    encoder.tuned = torch.nn.ModuleList([tunable])
    with pretended_device():
        away = encoder.to(DEVICE)
        torch.testing.assert_close(away.embed_images(images().to(DEVICE)).cpu(), here)
        torch.testing.assert_close(away.embed_texts(["red ring"]).cpu(), texts)
