"""Singular values of the blocks: what is tuned, what is refused, and that nothing changes before it is."""

import copy

import pytest
import torch
from toys.clip import tiny_clip

from densevl.core.errors import UsageError
from densevl.core.gradients import gradients
from densevl.encoders.tuning.attached import attached, delta_of
from densevl.encoders.tuning.singular_values import SingularValues


@pytest.fixture(scope="module")
def tiny():
    return tiny_clip().eval().requires_grad_(False)


@pytest.fixture
def images():
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def changed(tunable):
    for number, parameter in enumerate(tunable.parameters()):
        parameter.data *= 1 + 0.1 * torch.rand(parameter.shape, generator=torch.Generator().manual_seed(number))
    return tunable


def test_attached_and_not_tuned_the_encoder_computes_the_very_same(tiny, images):
    own = copy.deepcopy(tiny)
    SingularValues(own).attach(own)
    assert torch.equal(own.embed_images(images), tiny.embed_images(images))
    assert torch.equal(own.embed_texts(["cat"]), tiny.embed_texts(["cat"]))


def test_gradients_reach_every_value_of_both_towers(tiny, images):
    own = copy.deepcopy(tiny)
    tunable = SingularValues(own)
    tunable.attach(own)
    with gradients():
        (own.embed_images(images).mean() + own.embed_texts(["cat", "dog"]).mean()).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in tunable.parameters())
    assert not any(name.endswith("original") for name, p in own.named_parameters() if p.grad is not None)


@pytest.mark.parametrize("first", ["attached", "not attached"])
def test_folded_weights_are_plain_and_give_the_same_features(tiny, images, first):
    own = copy.deepcopy(tiny)
    tunable = changed(SingularValues(own))
    other = copy.deepcopy(tiny)
    tunable.attach(own)
    wanted, texts = own.embed_images(images), own.embed_texts(["cat"])
    if first == "attached":
        tunable.fold(own)
    else:
        SingularValues.fold(tunable, other)
        own = other
    assert {*dict(own.model.named_parameters())} == {*dict(tiny.model.named_parameters())}
    torch.testing.assert_close(own.embed_images(images), wanted, atol=1e-5, rtol=0)
    torch.testing.assert_close(own.embed_texts(["cat"]), texts, atol=1e-5, rtol=0)
    assert (wanted - tiny.embed_images(images)).abs().max() > 1e-3


def test_the_values_are_the_singular_values_of_the_weights_in_descending_order(tiny):
    found = SingularValues(tiny, towers=["text"]).weights["transformer/resblocks/0/mlp/c_fc"].values[0]
    wanted = torch.linalg.svdvals(tiny.model.transformer.resblocks[0].mlp.c_fc.weight)
    torch.testing.assert_close(found.detach(), wanted)
    assert (found.diff() <= 0).all()


def test_a_rank_leaves_the_smaller_values_as_they_are(tiny):
    tunable = changed(SingularValues(tiny, towers=["image"], rank=3))
    own = copy.deepcopy(tiny)
    tunable.attach(own)
    before, after = (torch.linalg.svdvals(e.model.visual.transformer.resblocks[0].mlp.c_fc.weight) for e in (tiny, own))
    assert sum(parameter.numel() for parameter in tunable.parameters()) == 2 * 6 * 3
    torch.testing.assert_close(after[3:], before[3:])
    assert (after[:3] > before[:3]).all()


@pytest.mark.parametrize("rank", [0, -1, 17])
def test_a_rank_that_no_matrix_has_is_refused(tiny, rank):
    with pytest.raises(UsageError, match=f"rank={rank} is no number of singular values to tune: give 1 to 16"):
        SingularValues(tiny, rank=rank)


def test_unknown_towers_are_refused(tiny):
    with pytest.raises(UsageError, match="towers are image, text or both; got audio"):
        SingularValues(tiny, towers=["audio"])


def test_a_delta_holds_the_values_alone_and_another_encoder_computes_the_same_with_it(tiny, images):
    own = copy.deepcopy(tiny)
    tunable = changed(SingularValues(own))
    tunable.attach(own)
    delta = delta_of([tunable], own.model_id)
    assert sum(tensor.numel() for tensor in delta.flat.values()) == 6 * (2 * 16 + 16)
    again = attached(copy.deepcopy(tiny), delta)
    torch.testing.assert_close(again.embed_images(images), own.embed_images(images), atol=1e-5, rtol=0)
    assert again.model_id == f"{tiny.model_id}+delta:{delta.digest}"
    assert {*dict(again.model.named_parameters())} == {*dict(tiny.model.named_parameters())}
