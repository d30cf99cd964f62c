"""Losses of learning without forgetting, on a few vectors and on a small CLIP."""

import pytest
import torch
import torch.nn.functional as F
from toys.clip import tiny_clip
from toys.few_examples import units

from densevl.core.errors import UsageError
from densevl.core.registry import build
from densevl.encoders.tuning.contracts import Look
from densevl.training.tuning.contracts import Loss, Step
from densevl.training.tuning.losses import LOSSES
from densevl.training.tuning.losses.info_nce import info_nce
from densevl.training.tuning.losses.masked_cross_entropy import masked_cross_entropy
from densevl.training.tuning.losses.mod_x import alignment, kept_rows
from densevl.training.tuning.losses.vr_lwf import random_strings

NAMES = ("info-nce", "masked-cross-entropy", "mod-x", "vr-lwf")


def a_step(classes=4, count=6, **changes):
    vectors, texts = units(count, 8), units(classes, 8, seed=1)
    labels = torch.arange(count) % classes
    step = Step(Look(vectors), labels, texts, [f"class {i}" for i in range(classes)], 20.0, before=(vectors, texts))
    return step._replace(**changes)


@pytest.mark.parametrize("name", NAMES)
def test_a_loss_keeps_the_contract(name):
    loss = build(LOSSES, {"type": name, "weight": 0.5})
    assert isinstance(loss, Loss)
    assert loss.weight == 0.5


def test_earlier_classes_get_no_gradient():
    logits = torch.randn(5, 4, requires_grad=True)
    labels = torch.tensor([2, 3, 2, 3, 2])
    masked_cross_entropy(logits, labels, 2).backward()
    assert (logits.grad[:, :2] == 0).all()
    assert (logits.grad[:, 2:] != 0).all()
    torch.testing.assert_close(masked_cross_entropy(logits, labels, 0), F.cross_entropy(logits, labels))
    step, masked = a_step(labels=torch.tensor([2, 3, 2, 3, 2, 3])), build(LOSSES, "masked-cross-entropy")
    assert float(masked(step._replace(old=2))) < float(masked(step))


def test_equal_texts_are_one_text():
    vectors, texts = units(6, 8), units(3, 8, seed=1)
    owners = torch.tensor([0, 0, 1, 1, 2, 2])
    cosines = vectors @ texts.mT
    forward = F.cross_entropy(20 * cosines, owners)
    rows = (20 * cosines.mT).log_softmax(1)
    back = -torch.stack([rows[k, owners == k].mean() for k in range(3)]).mean()
    assert float(info_nce(cosines, owners, 20.0)) == pytest.approx(float((forward + back) / 2), rel=1e-5)


def test_nothing_is_lost_where_nothing_moved_and_something_where_it_did():
    step = a_step()
    assert float(build(LOSSES, "mod-x")(step)) == pytest.approx(0, abs=1e-5)
    moved = step._replace(look=Look(units(6, 8, seed=4)))
    assert float(build(LOSSES, "mod-x")(moved)) > 0.1


def test_a_wrong_row_of_the_earlier_model_asks_for_nothing():
    old = torch.tensor([[0.9, 0.1, 0.0], [0.8, 0.2, 0.1], [0.0, 0.1, 0.7]])
    new = torch.full((3, 3), 0.3, requires_grad=True)
    alignment(kept_rows(old, new, torch.eye(3) > 0), new).backward()
    assert new.grad[1].abs().max() < 1e-6
    assert (new.grad[[0, 2]].abs().amax(1) > 0.01).all()


def test_strings_of_tokens_stand_between_start_and_end():
    encoder = tiny_clip()
    found = random_strings(encoder, 7, 5, seed=1)
    start, end = encoder.text.reader.start, encoder.text.reader.end
    assert found.shape == (7, encoder.text.context)
    assert (found[:, 0] == start).all()
    assert (found[:, 6] == end).all()
    assert (found[:, 7:] == 0).all()
    assert not torch.isin(found[:, 1:6], torch.tensor([start, end])).any()
    assert torch.equal(found, random_strings(encoder, 7, 5, seed=1))
    assert not torch.equal(found, random_strings(encoder, 7, 5, seed=2))


def test_the_vocabulary_is_read_before_and_after_and_its_gradients_reach_both_towers():
    encoder = tiny_clip().requires_grad_(True)
    loss = build(LOSSES, {"type": "vr-lwf", "strings": 16, "length": 4})
    loss.start(encoder)
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)).double()
    before = encoder.embed_images(images)
    with torch.no_grad():
        encoder.model.text_projection.add_(0.3 * torch.randn_like(encoder.model.text_projection))
    moved = before.clone().requires_grad_()
    step = Step(Look(moved), None, units(2, 8), ["a", "b"], 10.0, before=(before, units(2, 8)), encoder=encoder)
    loss(step).backward()
    assert encoder.model.text_projection.grad.abs().max() > 0
    assert moved.grad.abs().max() > 0


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("mod-x", {"before": None}, "earlier model"),
        ("mod-x", {"labels": None}, "have none"),
        ("info-nce", {"texts": torch.zeros(6, 4, 8)}, "depend on the image"),
        ("masked-cross-entropy", {"labels": None}, "have none"),
        ("vr-lwf", {"before": None}, "earlier model"),
    ],
)
def test_a_step_that_lacks_something_is_refused(name, change, says):
    with pytest.raises(UsageError, match=says):
        build(LOSSES, name)(a_step(**change))


def test_settings_that_mean_nothing_are_refused():
    with pytest.raises(UsageError, match="strings=1"):
        build(LOSSES, {"type": "vr-lwf", "strings": 1})
    with pytest.raises(UsageError, match="up to 22 tokens"):
        random_strings(tiny_clip(), 4, 40, seed=0)


def test_other_text_towers_are_refused():
    class Other:
        context = 10

    encoder = tiny_clip()
    encoder.text = Other()
    with pytest.raises(UsageError, match=r"wants a text tower of open_clip"):
        random_strings(encoder, 4, 4, seed=0)
