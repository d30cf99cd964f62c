"""The terms of BiomedCoOp against sums written out in double precision."""

import math

import pytest
import torch
from toys.tuning_steps import step_of, units

from densevl.core.errors import UsageError
from densevl.core.registry import build
from densevl.training.tuning.losses import LOSSES
from densevl.training.tuning.losses.description_teacher import distilled, kept_sets, teacher_texts


@pytest.fixture
def step():
    return step_of(vectors=(5, 6), classes=3, temperature=10.0)._replace(descriptions=units(3, 7, 6, seed=4))


def unit(vector):
    length = math.sqrt(sum(one * one for one in vector))
    return [one / length for one in vector]


def test_the_distance_is_the_mean_of_squares_of_differences(step):
    expected = []
    for text, own in zip(step.texts.double().tolist(), step.descriptions.double().tolist(), strict=True):
        mean = unit([sum(column) / len(own) for column in zip(*own, strict=True)])
        expected += [(one - other) ** 2 for one, other in zip(text, mean, strict=True)]
    found = build(LOSSES, {"type": "description-mean", "weight": 3.0})(step)
    assert float(found) == pytest.approx(3 * sum(expected) / len(expected), rel=1e-5)
    each = build(LOSSES, {"type": "description-mean", "weight": 3.0})(step._replace(texts=step.texts.expand(5, -1, -1)))
    torch.testing.assert_close(found, each)


def test_sets_are_kept_whose_mean_highest_logit_is_near_that_of_the_others():
    logits = torch.zeros(5, 4, 3)
    logits[:, :, 1] = torch.tensor([1.0, 1.1, 0.9, 1.0, 9.0])[:, None]
    assert kept_sets(logits, 1.5).tolist() == [True, True, True, True, False]
    assert kept_sets(logits, 3.0).all()
    assert kept_sets(logits[:1], 1.5).tolist() == [True]
    assert kept_sets(torch.ones(4, 2, 3), 1.0).all()


def test_the_divergence_is_that_of_probabilities(step):
    limit = 1.0
    found = build(LOSSES, {"type": "description-teacher", "weight": 2.0, "limit": limit})(step)
    x, t, e = step.look.vectors.double(), step.texts.double(), step.descriptions.double()
    scores = [sum(max(10 * float(one @ e[k, j]) for k in range(3)) for one in x) / len(x) for j in range(e.shape[1])]
    mean = sum(scores) / len(scores)
    deviation = math.sqrt(sum((one - mean) ** 2 for one in scores) / (len(scores) - 1))
    kept = [j for j, score in enumerate(scores) if abs(score - mean) <= limit * deviation]
    assert 0 < len(kept) < len(scores)
    expected = 0.0
    for one in x:
        teacher = [10 * float(one @ torch.tensor(unit(e[k, kept].mean(0).tolist())).double()) for k in range(3)]
        student = [10 * float(one @ t[k]) for k in range(3)]
        p, q = ([math.exp(v) / sum(map(math.exp, logits)) for v in logits] for logits in (teacher, student))
        expected += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    assert float(found) == pytest.approx(2 * expected / (5 * 3), rel=1e-5)


def test_the_teacher_learns_nothing_and_what_answers_as_it_does_is_at_rest(step):
    descriptions = step.descriptions.clone().requires_grad_()
    texts = step.texts.clone().requires_grad_()
    build(LOSSES, "description-teacher")(step._replace(texts=texts, descriptions=descriptions)).backward()
    assert descriptions.grad is None
    assert texts.grad.abs().max() > 0
    logits = torch.randn(4, 3)
    assert distilled(logits, logits + 1).abs() < 1e-6
    assert torch.allclose(teacher_texts(step.descriptions, torch.ones(7, dtype=torch.bool)).norm(dim=1), torch.ones(3))


def test_what_cannot_be_is_refused(step):
    for name in ("description-mean", "description-teacher"):
        with pytest.raises(UsageError, match=f"{name} needs descriptions .* --descriptions"):
            build(LOSSES, name)(step._replace(descriptions=None))
    with pytest.raises(UsageError, match=r"limit is 1 standard deviation or more; got 0.5"):
        build(LOSSES, {"type": "description-teacher", "limit": 0.5})
