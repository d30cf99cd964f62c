"""Weights that are tuned as they are: layer norms, whole blocks, whole towers."""

import copy

import pytest
import torch
from toys.clip import tiny_clip

from densevl.core.errors import UsageError
from densevl.core.gradients import gradients
from densevl.encoders.tuning.attached import attached, delta_of
from densevl.encoders.tuning.norms import Norms
from densevl.encoders.tuning.weights import Weights

IMAGES = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


@pytest.fixture(scope="module")
def tiny():
    return tiny_clip().eval().requires_grad_(False)


@pytest.mark.parametrize(
    "make",
    [Norms, lambda e: Weights(e, blocks=1), Weights],
    ids=["norms", "last-block", "all"],
)
def test_tuned_weights_change_the_encoder_and_its_delta_says_the_same(tiny, make):
    own = copy.deepcopy(tiny)
    tunable = make(own)
    tunable.attach(own)
    assert torch.equal(own.embed_images(IMAGES), tiny.embed_images(IMAGES))
    with gradients():
        (own.embed_images(IMAGES).mean() + own.embed_texts(["cat"]).mean()).backward()
    assert all(one.grad is not None for one in tunable.parameters())
    for parameter in tunable.parameters():
        parameter.data += 0.05 * torch.rand(parameter.shape, generator=torch.Generator().manual_seed(1))
    delta = delta_of([tunable], tiny.model_id)
    again = attached(copy.deepcopy(tiny), delta)
    torch.testing.assert_close(again.embed_images(IMAGES), own.embed_images(IMAGES))
    torch.testing.assert_close(again.embed_texts(["cat"]), own.embed_texts(["cat"]))
    assert {*dict(again.model.named_parameters())} == {*dict(tiny.model.named_parameters())}


def test_norms_of_one_tower_are_those_of_that_tower(tiny):
    names = list(dict(Norms(tiny, towers=["text"]).named_parameters()))
    assert names
    assert not any(name.startswith("visual") for name in names)
    assert len(names) == 2 * sum(
        "ln_" in n and n.endswith("weight") and "visual" not in n for n, _ in tiny.model.named_parameters()
    )


def test_the_identity_changes_with_images_alone_and_the_delta_is_always_said(tiny):
    own = copy.deepcopy(tiny)
    texts = attached(own, delta_of([Norms(own, towers=["text"])], own.model_id))
    assert texts.model_id == tiny.model_id
    assert texts.delta is not None


@pytest.mark.parametrize("blocks", [0, 3])
def test_a_number_of_blocks_that_no_tower_has_is_refused(tiny, blocks):
    with pytest.raises(UsageError, match=f"blocks={blocks} is no number of blocks to tune: the image tower has 2"):
        Weights(tiny, towers=["image"], blocks=blocks)
