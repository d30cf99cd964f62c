"""CoOp, CoCoOp and MaPLe on the small CLIP, against their own code: logits, losses, gradients."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from toys.golden import assert_agrees
from toys.small_clip import adapters_golden, by_rule, small_clip, small_images

from densevl.core.gradients import gradients
from densevl.encoders.tuning.conditional_context import ConditionalContext
from densevl.encoders.tuning.context import Context
from densevl.encoders.tuning.contracts import Look
from densevl.encoders.tuning.deep_prompts import DeepPrompts


@pytest.fixture(scope="module")
def outputs():
    return adapters_golden("prompt_learners")


@pytest.fixture(scope="module")
def names(outputs):
    return outputs["names"].tolist()


@pytest.fixture(scope="module")
def images(outputs, small_clip):
    return small_clip.embed_images(small_images(outputs["images"]))


def count_of(outputs):
    return len(outputs["coop_end_ctx_grad"])


def logits_of(encoder, images, texts):
    return encoder.temperature * images @ texts.mT


def check(outputs, name, logits, wanted):
    """The logits, the loss and the gradients that a file holds under a name, of parameters by theirs."""
    assert_agrees(logits.detach(), outputs[f"{name}_logits"])
    if f"{name}_loss" in outputs:
        loss = F.cross_entropy(logits, torch.from_numpy(outputs["labels"]))
        assert_agrees(loss.detach(), outputs[f"{name}_loss"])
        found = torch.autograd.grad(loss, list(wanted.values())) if wanted else ()
        for key, gradient in zip(wanted, found, strict=True):
            assert_agrees(gradient, outputs[key])


def test_the_small_clip_is_the_one_of_the_reference(outputs, images, names, small_clip):
    assert_agrees(images, outputs["plain_image"])
    plain = Context(small_clip, words="a photo of a", count=None)
    assert_agrees(logits_of(small_clip, images, plain.class_vectors(names)).detach(), outputs["coop_words_logits"])


@pytest.mark.parametrize("place", ["end", "middle", "front"])
def test_context_around_names(outputs, images, names, small_clip, place):
    context = Context(small_clip, count=count_of(outputs), place=place)
    context.vectors.data.copy_(0.1 * by_rule("coop.ctx", tuple(context.vectors.shape)))
    texts = context.class_vectors(names)
    if place == "end":
        assert_agrees(texts.detach(), outputs["coop_end_text"])
    logits = logits_of(small_clip, images, texts)
    check(outputs, f"coop_{place}", logits, {f"coop_{place}_ctx_grad": context.vectors})


def test_context_of_each_class(outputs, images, names, small_clip):
    context = Context(small_clip, count=count_of(outputs), names=names)
    context.vectors.data.copy_(0.1 * by_rule("coop.csc", tuple(context.vectors.shape)))
    check(outputs, "coop_csc", logits_of(small_clip, images, context.class_vectors(names)), {})


def test_context_that_depends_on_the_image(outputs, images, names, small_clip):
    context = ConditionalContext(small_clip, words="a photo of a")
    for name, parameter in context.shift.named_parameters():
        parameter.data.copy_(by_rule(f"cocoop.meta_net.{name}", tuple(parameter.shape)))
    texts = context.class_vectors(names, Look(images))
    logits = small_clip.temperature * torch.einsum("bd,bkd->bk", images, texts)
    check(outputs, "cocoop", logits, {})


def maple_name(name):
    """The reference's name of a parameter."""
    kind, _, rest = name.partition(".")
    place, _, last = rest.partition(".")
    if kind == "prompts":
        return "ctx" if place == "0" else f"compound_prompts_text.{int(place) - 1}"
    return f"proj.{last}" if place == "0" else f"compound_prompt_projections.{int(place) - 1}.{last}"


def test_deep_prompts_in_both_towers(outputs, names):
    encoder = small_clip()
    count = len(outputs["maple_grad_ctx"])
    depth = 2 + max(int(key.removeprefix("maple_grad_deep")) for key in outputs if "grad_deep" in key)
    maple = DeepPrompts(encoder, words="a photo of a", count=count, depth=depth)
    listed = {f"{maple_name(name)}:{tuple(one.shape)}" for name, one in maple.named_parameters()}
    assert listed == {*outputs["maple_parameters"].tolist()}
    for name, parameter in maple.named_parameters():
        theirs = maple_name(name)
        if theirs != "ctx":  # which begins as words
            factor = 0.1 if theirs.startswith("compound_prompts_text") else 1
            parameter.data.copy_(factor * by_rule(f"maple.{theirs}", tuple(parameter.shape)))
    maple.attach(encoder)
    with gradients():
        images = encoder.embed_images(small_images(outputs["images"]))
        texts = encoder.embed_texts([name.replace("_", " ") for name in names])
        logits = logits_of(encoder, images, texts)
        assert_agrees(images.detach(), outputs["maple_image"])
        assert_agrees(texts.detach(), outputs["maple_text"])
        deep = {f"maple_grad_deep{place - 1}": maple.prompts[place] for place in range(1, depth)}
        wanted = {"maple_grad_ctx": maple.prompts[0], **deep, "maple_grad_proj_bias": maple.couplings[0].bias}
        check(outputs, "maple", logits, wanted)
    np.testing.assert_allclose(logits.softmax(1).sum(1).detach(), 1, rtol=1e-5)
