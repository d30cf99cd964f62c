"""What a step computes, and what it computes once."""

import pytest
import torch

from densevl.core.errors import UsageError
from densevl.core.gradients import gradients
from densevl.training.tuning.run import run_tuning

TEXTS = {"tunables": ({"type": "singular-values", "towers": ["text"]},)}
IMAGES = {"tunables": ({"type": "singular-values", "towers": ["image"]},)}


def counted(model, name, monkeypatch):
    """Counts calls of a method of the encoder."""
    calls, own = [], getattr(model.encoder, name)

    def call(*args, **kwargs):
        calls.append(1)
        return own(*args, **kwargs)

    monkeypatch.setattr(model.encoder, name, call)
    return calls


@pytest.mark.parametrize("views", [1, 3])
def test_images_are_encoded_once_a_view_where_texts_alone_are_tuned(tuned, monkeypatch, views):
    model = tuned(**TEXTS, views=views)
    images, texts = counted(model, "embed_images", monkeypatch), counted(model, "embed_texts", monkeypatch)
    run_tuning(model, 5)
    assert (len(images), len(texts)) == (views, 5)


def test_texts_are_embedded_once_where_images_alone_are_tuned(tuned, monkeypatch):
    model = tuned(**IMAGES)
    images, texts = counted(model, "embed_images", monkeypatch), counted(model, "embed_texts", monkeypatch)
    run_tuning(model, 5)
    assert (len(images), len(texts)) == (5, 1)


def test_a_step_is_the_scaled_cosines_of_images_and_names(tuned):
    model = tuned(temperature=30)
    step = model.step(range(6), [None] * 6)
    texts = model.encoder.embed_texts(["red", "blue"])
    torch.testing.assert_close(step.logits, 30 * step.look.vectors @ texts.mT)
    assert step.labels.tolist() == [0, 1, 0, 1, 0, 1]


def test_what_is_changed_in_an_image_depends_on_its_number_alone(tuned):
    looks = tuned().task.looks
    together = looks.look([0, 3], [11, 12]).vectors
    torch.testing.assert_close(together[1:], looks.look([3], [12]).vectors)
    assert not torch.equal(looks.look([3], [13]).vectors, looks.look([3], [12]).vectors)


def test_gradients_reach_all_that_is_tuned_and_nothing_else(tuned):
    model = tuned()
    with gradients():
        sum(model([(0, 1), (1, 2)]).values()).backward()
    assert all(parameter.grad is not None for parameter in model.tunables.parameters())
    own = {id(parameter) for parameter in model.tunables.parameters()}
    assert not any(p.grad is not None for p in model.encoder.parameters() if id(p) not in own)


def test_a_tunable_may_have_a_rate_of_its_own(tuned):
    model = tuned(tunables=({"type": "norms", "towers": ["image"], "rate": 0.1}, {"type": "singular-values"}))
    assert [group["lr"] for group in model.optimizer().param_groups] == pytest.approx([0.001, 0.01])


def test_losses_that_need_more_than_there_is_are_refused(tuned):
    with pytest.raises(UsageError, match="a loss of the method needs the encoder as it was, and there are none"):
        tuned(losses=({"type": "mod-x"},))
