"""Experts: what they begin as, what they mix, and what they refuse."""

import pytest
import torch
from torch.nn.functional import normalize

from densevl.core.errors import UsageError
from densevl.core.gradients import gradients
from densevl.encoders.tuning.contracts import ClassTexts, Look
from densevl.encoders.tuning.experts import Experts, mixture_of

NAMES = ["cat", "potted plant"]
GROUPS = [["a photo of a {}.", "a picture of a {}."], ["{} on a table"], ["one {} alone"]]


@pytest.fixture(scope="module")
def experts(small_clip):
    return Experts(small_clip, GROUPS)


@pytest.fixture(scope="module")
def look():
    return Look(normalize(torch.randn(3, 64, generator=torch.Generator().manual_seed(0)), dim=1))


def test_before_learning_each_expert_reads_the_first_template_of_its_group(experts, small_clip):
    assert isinstance(experts, ClassTexts)
    for soft, group in zip(experts.soft(NAMES), GROUPS, strict=True):
        torch.testing.assert_close(soft, small_clip.embed_texts(NAMES, group[:1]), atol=2e-6, rtol=1e-5)


def test_prototypes_are_means_of_the_templates_of_a_group(experts, small_clip):
    for found, group in zip(experts.prototypes(NAMES), GROUPS, strict=True):
        torch.testing.assert_close(found, small_clip.embed_texts(NAMES, group), atol=2e-6, rtol=1e-5)


def test_each_image_has_the_texts_of_the_experts_that_its_gate_takes(experts, look):
    found = experts.class_vectors(NAMES, look)
    soft, gate = experts.soft(NAMES), experts.gate(look.vectors).detach()
    for row, own in enumerate(gate):
        best = sorted(range(3), key=lambda group, own=own: -own[group])[:2]
        weights = own[best].softmax(0)
        torch.testing.assert_close(found[row], sum(w * soft[g] for w, g in zip(weights, best, strict=True)))
    assert found.norm(dim=-1).max() < 1
    mixture, prototypes = mixture_of(experts, "a loss")
    assert mixture.names == tuple(NAMES)
    assert prototypes.shape == (3, 2, 64)


def test_words_gate_and_offset_learn_and_nothing_else(small_clip, look):
    experts = Experts(small_clip, GROUPS)
    with gradients():
        experts.class_vectors(NAMES, look).square().sum().backward()
    assert {name.split(".")[0] for name, _ in experts.named_parameters()} == {"vectors", "offset", "gate"}
    assert all(one.grad is not None and one.grad.abs().max() > 0 for one in (experts.offset, experts.gate.weight))
    assert not any(one.requires_grad for one in small_clip.parameters())


def test_settings_build_it_again(small_clip, experts, look):
    again = Experts(small_clip, **experts.settings)
    again.load_state_dict(experts.state_dict())
    torch.testing.assert_close(again.class_vectors(NAMES, look), experts.class_vectors(NAMES, look))


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"groups": GROUPS, "chosen": 4}, "4 are chosen of 3 groups"),
        ({"groups": [["a {}."], []], "chosen": 2}, r"a group is a list of one template or more; got \(\)"),
        ({"groups": [["a {}."], ["a photo"]], "chosen": 1}, r"template 'a photo' must hold \{\} once"),
        ({"groups": [["{}"]], "chosen": 1}, r"template '\{\}' has no words to begin learning with"),
    ],
)
def test_what_cannot_be_is_refused(small_clip, settings, error):
    with pytest.raises(UsageError, match=error):
        Experts(small_clip, **settings)


def test_texts_without_an_image_and_folding_are_refused(experts, small_clip):
    with pytest.raises(UsageError, match="depend on images, and none is looked at"):
        experts.class_vectors(NAMES)
    with pytest.raises(UsageError, match="cannot be folded"):
        experts.fold(small_clip)
