"""The plain CLIP against open_clip, to the last bit."""

import open_clip
import pytest
import torch

from densevl.encoders.architectures import architecture, build_model
from densevl.encoders.clip import CLIPEncoder
from densevl.encoders.mini import mini_tokenizer
from densevl.encoders.plain import PlainCLIP, is_plain

VISION = {"image_size": 32, "patch_size": 8, "width": 48, "head_width": 16, "layers": 2}
TEXT = {"context_length": 12, "vocab_size": 60, "width": 32, "heads": 2, "layers": 2}
KINDS = {
    "plain": {},
    "quick": {"quick_gelu": True, "image": {"mlp_ratio": 3.3}},
    "mean": {"image": {"pool_type": "avg", "image_size": [16, 32]}, "init_logit_bias": -10},
    "mean, then norm": {"image": {"pool_type": "avg", "final_ln_after_pool": True, "no_ln_pre": True}},
    "scaled": {"image": {"ls_init_value": 0.1}, "text": {"ls_init_value": 0.2}},
    "end": {"text": {"pool_type": "eos", "eos_id": 7}, "init_logit_scale": 2.0},
}


def config(kind):
    given = dict(KINDS[kind])
    vision, text = {**VISION, **given.pop("image", {})}, {**TEXT, **given.pop("text", {})}
    return {"embed_dim": 24, "vision_cfg": vision, "text_cfg": text, **given}


def pair(kind):
    """open_clip's model with weights of which none is a first one, and ours with the same."""
    torch.manual_seed(0)
    theirs = open_clip.CLIP(**config(kind)).eval().requires_grad_(False)
    for weight in theirs.parameters():
        weight += 0.1 * torch.randn_like(weight)
    ours, _ = build_model(config(kind), theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours.eval().requires_grad_(False)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_open_clips_to_the_last_bit(kind):
    theirs, ours = pair(kind)
    assert isinstance(ours, PlainCLIP)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    texts, images = torch.randint(8, 60, (3, 12)), torch.randn(2, 3, *theirs.visual.image_size)
    texts[:, 5] = 7
    for dtype in (torch.float32, torch.bfloat16):
        theirs, ours = theirs.to(dtype), ours.to(dtype)
        assert torch.equal(ours.encode_image(images.to(dtype)), theirs.encode_image(images.to(dtype)))
        assert torch.equal(ours.encode_text(texts, normalize=True), theirs.encode_text(texts, normalize=True))


def test_an_encoder_reads_it_as_open_clips():
    one, other = (CLIPEncoder(model, mini_tokenizer(), "m") for model in pair("mean"))
    images = torch.rand(2, 3, 40, 57)
    tokens = [encoder.last_block(images).tokens for encoder in (one, other)]
    assert torch.equal(*tokens)
    assert type(one.image) is type(other.image)
    assert one.text.short_context
    assert other.text.short_context


def test_what_is_not_plain_is_open_clips():
    for name in ("ViT-B-16", "ViT-B-16-quickgelu", "ViT-L-14-336", "ViT-bigG-14", "LongCLIP-ViT-B-16"):
        assert is_plain(architecture(name))
    for name in ("RN50", "ViT-B-16-SigLIP", "EVA02-B-16", "MobileCLIP-S1", "TinyCLIP-auto-ViT-B-32"):
        assert not is_plain(architecture(name))
    for changed in ({"no_causal_mask": True}, {"proj_type": "none"}, {"pool_type": "last"}):
        assert not is_plain({**config("plain"), "text_cfg": {**TEXT, **changed}})
    for changed in ({"attentional_pool": True}, {"qk_norm": True}, {"patch_dropout": 0.5}, {"layers": [1, 1, 1, 1]}):
        assert not is_plain({**config("plain"), "vision_cfg": {**VISION, **changed}})


def test_new_weights_are_those_that_open_clip_draws():
    assert isinstance(build_model(config("plain"))[0], open_clip.CLIP)
