"""CPE-CLIP's learnt tokens on the small CLIP, against its own code."""

import pytest
from toys.golden import assert_agrees
from toys.small_clip import adapters_golden, by_rule, small_clip, small_images

from densevl.encoders.tuning.deep_prompts import DeepPrompts


@pytest.fixture(scope="module")
def outputs():
    return adapters_golden("cpe_clip")


@pytest.mark.parametrize(
    ("texts", "images"),
    [("replace", "accumulate"), ("replace", "replace"), ("accumulate", "accumulate-same")],
)
def test_shared_tokens_that_replace_or_join_those_before(outputs, texts, images):
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
    found = encoder.embed_images(small_images(outputs["images"]))
    logits = encoder.temperature * found @ encoder.embed_texts(outputs["names"].tolist()).mT
    assert_agrees(logits, outputs[f"logits_{texts}_{images}".replace("-", "_")])
