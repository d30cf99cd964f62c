import re

import open_clip
import pytest
import torch
import torch.nn.functional as F

from densevl.core.errors import UsageError
from densevl.encoders.clip import CLIPEncoder
from densevl.encoders.texts.open_clip import OpenClipTexts

TOKENIZER = open_clip.get_tokenizer("ViT-B-32")
TEXTS = ["cat", "a very long-haired red cat, asleep on the sofa of a friend", "dog", "traffic light (green)", "猫"]
TEMPLATES = ("a photo of a {}.", "{}", "a bad photo of the {}, taken at night by somebody.")


def encoder_of(model):
    return CLIPEncoder(model, TOKENIZER, "tiny")


@pytest.fixture(scope="module")
def encoder(tiny_clip):
    return encoder_of(tiny_clip())


@torch.no_grad()
def plain(model, texts, templates):
    """One text at a time, full context, open_clip's own code."""
    rows = []
    for text in texts:
        tokens = TOKENIZER([template.format(text) for template in templates])
        rows.append(F.normalize(model.encode_text(tokens), dim=-1).mean(dim=0))
    return F.normalize(torch.stack(rows), dim=-1)


@pytest.mark.parametrize("arch", ["ViT-B-16-quickgelu", "ViT-B-16"])
def test_the_short_context_is_exact_for_real_towers(tiny_clip, arch):
    config = open_clip.get_model_config(arch)
    model = tiny_clip(text=config["text_cfg"], quick_gelu=config.get("quick_gelu", False))
    assert OpenClipTexts(model, TOKENIZER).short_context
    found = encoder_of(model).embed_texts(TEXTS[:3], TEMPLATES[:1])
    assert (found - plain(model, TEXTS[:3], TEMPLATES[:1])).abs().max() < 1e-6


TOWERS = {
    "end of text by largest id": ({}, False, True),
    "end of text by id": ({"pool_type": "eos", "eos_id": 49407}, False, True),
    "in a module of its own": ({"ls_init_value": 0.3}, True, True),
    "projection with bias": ({"proj_bias": True}, True, True),
    "no projection": ({"proj_type": "none"}, False, True),
    "looks ahead": ({"no_causal_mask": True}, True, False),
    "class token at the end": ({"embed_cls": True, "context_length": 76}, True, False),
    "reads the last place": ({"pool_type": "last"}, False, False),
    "reads the first place": ({"pool_type": "first"}, False, False),
}


@pytest.mark.parametrize("tower", TOWERS)
def test_each_tower_embeds_as_in_open_clip(tiny_clip, tower):
    text, custom, short = TOWERS[tower]
    if "eos_id" in text and "eos_id" not in open_clip.CLIPTextCfg.__dataclass_fields__:
        pytest.skip("this version of open_clip has no such tower")
    model = tiny_clip(text=text, custom=custom)
    tokens = TOKENIZER(TEXTS, context_length=model.context_length)
    found = OpenClipTexts(model, TOKENIZER)
    assert found.short_context is short
    with torch.no_grad():
        torch.testing.assert_close(found.encode(tokens), model.encode_text(tokens), rtol=1e-5, atol=1e-6)


def test_short_context_really_is_short(tiny_clip):
    model = tiny_clip()
    lengths = []
    block = model.transformer.resblocks[0]
    block.ln_2.register_forward_hook(lambda _, inputs, __: lengths.append(inputs[0].shape[1]))
    encoder_of(model).embed_texts(["cat", "dog"])
    assert lengths == [3]


def test_templates_are_averaged_and_normalised(tiny_clip, encoder):
    found = encoder.embed_texts(TEXTS, TEMPLATES)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, plain(encoder.model, TEXTS, TEMPLATES), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(len(TEXTS)))


def test_order_and_repetition_do_not_matter(encoder):
    many = [f"thing number {i} {'again ' * (i % 7)}" for i in range(150)]
    found = encoder.embed_texts([*many, many[3]], ("a {}",))
    back = encoder.embed_texts(many[::-1], ("a {}",)).flip(0)
    torch.testing.assert_close(found[:-1], back)
    torch.testing.assert_close(found[-1], found[3])


def test_braces_in_a_class_name_are_kept(encoder):
    torch.testing.assert_close(encoder.embed_texts(["{0} {x}"], ("a {}",)), encoder.embed_texts(["a {0} {x}"]))


def test_bfloat16_stays_close(tiny_clip, encoder):
    exact = encoder.embed_texts(TEXTS, TEMPLATES)
    rounded = encoder_of(tiny_clip()).bfloat16().embed_texts(TEXTS, TEMPLATES)
    assert rounded.dtype == torch.float32
    assert (exact * rounded).sum(dim=1).min() > 0.999


def test_a_text_may_fill_the_context_and_not_exceed_it(encoder):
    fits, over = "cat " * 75, "cat " * 76
    torch.testing.assert_close(encoder.embed_texts([fits]), plain(encoder.model, [fits], ("{}",)))
    with pytest.raises(UsageError, match=r"'cat cat .*\.\.\.' has 78 tokens.* takes 77"):
        encoder.embed_texts(["dog", over])
    with pytest.raises(UsageError, match="has 79 tokens"):
        encoder.embed_texts([fits], ("the {} x",))


def test_300_characters_of_any_script(encoder):
    texts = ["incomprehensibility " * 15, "красный круг", "赤い丸", "دائرة حمراء", "🟥"]
    found = encoder.embed_texts(texts)
    assert found.isfinite().all()
    assert (found @ found.T - torch.eye(len(texts))).abs().max() < 0.9999


@pytest.mark.parametrize(
    ("texts", "templates", "message"),
    [
        ([], ("{}",), "at least one text"),
        (["cat"], (), "one template"),
        ("cat", ("{}",), "as lists"),
        (["cat", " "], ("{}",), "blank"),
        (["cat"], ("a photo",), re.escape("put {} there")),
    ],
)
def test_texts_that_cannot_be_asked_are_refused(encoder, texts, templates, message):
    with pytest.raises(UsageError, match=message):
        encoder.embed_texts(texts, templates)
