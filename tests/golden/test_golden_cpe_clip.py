"""CPE-CLIP's learnt tokens on the small CLIP, against its own code."""

import pytest
import torch
from toys.golden import assert_agrees
from toys.small_clip import adapters_golden, by_rule, small_clip, small_images

from densevl.core.gradients import gradients
from densevl.encoders.tuning.deep_prompts import DeepPrompts
from densevl.training.tuning.continual.learners import scaled_gradients
from densevl.training.tuning.losses.masked_cross_entropy import masked_cross_entropy


@pytest.fixture(scope="module")
def outputs():
    return adapters_golden("cpe_clip")


def prompted(outputs, texts="replace", images="accumulate"):
    """The encoder with learnt tokens by rule, and these."""
    encoder = small_clip()
    depth, count, _ = outputs["session_grad"].shape
    prompts = DeepPrompts(
        encoder, words="", count=count, depth=depth, shared=True, texts=texts, images=images, ending="."
    )
    for place, one in enumerate(prompts.prompts):
        one.data.copy_(0.1 * by_rule("cpe.g_values", (depth, *one.shape))[place])
    for name, parameter in prompts.couplings[0].named_parameters():
        parameter.data.copy_(by_rule(f"cpe.prompt_proj.{name}", tuple(parameter.shape)))
    prompts.attach(encoder)
    return encoder, prompts


def logits_of(encoder, outputs):
    found = encoder.embed_images(small_images(outputs["images"]))
    return encoder.temperature * found @ encoder.embed_texts(outputs["names"].tolist()).mT


@pytest.mark.parametrize(
    ("texts", "images"),
    [("replace", "accumulate"), ("replace", "replace"), ("accumulate", "accumulate-same")],
)
def test_shared_tokens_that_replace_or_join_those_before(outputs, texts, images):
    encoder, _ = prompted(outputs, texts, images)
    assert_agrees(logits_of(encoder, outputs), outputs[f"logits_{texts}_{images}".replace("-", "_")])


def test_a_later_session_masks_old_classes_and_scales_gradients(outputs):
    encoder, prompts = prompted(outputs)
    old, labels = int(outputs["session_old_classes"]), torch.from_numpy(outputs["session_labels"])
    share = 1 - old / len(outputs["names"])
    with gradients(), scaled_gradients([prompts], ["prompts."], share):
        loss = masked_cross_entropy(logits_of(encoder, outputs), labels, old)
        loss.backward()
    assert_agrees(loss.detach(), outputs["session_loss"])
    assert_agrees(torch.stack([one.grad for one in prompts.prompts]), outputs["session_grad"])
    coupled = prompts.couplings[0].weight.grad.clone()
    prompts.zero_grad()
    with gradients():
        masked_cross_entropy(logits_of(encoder, outputs), labels, old).backward()
    assert torch.equal(prompts.couplings[0].weight.grad, coupled)
    assert_agrees(share * torch.stack([one.grad for one in prompts.prompts]), outputs["session_grad"])
