"""Conformal sets against their definition and their promise."""

import math

import pytest
import torch

from densevl.classifiers.conformal import class_limits, conformal_sets, limit
from densevl.core.errors import UsageError


@pytest.mark.parametrize(
    ("n", "coverage", "rank"), [(9, 0.9, 9), (19, 0.9, 18), (100, 0.9, 91), (99, 0.95, 95), (3, 0.5, 2), (4, 0.01, 1)]
)
def test_the_limit_is_a_score_by_its_rank(n, coverage, rank):
    scores = torch.rand(n, generator=torch.Generator().manual_seed(n))
    assert limit(scores, coverage) == scores.sort().values[rank - 1]


def test_too_few_examples_exclude_nothing():
    assert limit(torch.rand(8), 0.9) == math.inf
    assert conformal_sets(torch.tensor([[1.0, 0.0]]), math.inf).all()
    limits = class_limits(torch.tensor([0.1] * 9 + [0.2]), torch.tensor([0] * 9 + [1]), 3, 0.9)
    assert limits.tolist() == [pytest.approx(0.1), math.inf, math.inf]


def world(n, seed):
    """Probabilities, the second class much the harder one, and true labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(3, (n,), generator=generator)
    logits = torch.randn(n, 3, generator=generator) + torch.tensor([4.0, 0.3, 4.0])[labels, None] * torch.eye(3)[labels]
    return logits.softmax(1), labels


def test_the_promise_holds_over_all_and_for_each_class():
    probabilities, labels = world(2000, 0)
    scores = 1 - probabilities.gather(1, labels[:, None])[:, 0]
    fresh, truths = world(20000, 1)
    together = conformal_sets(fresh, limit(scores, 0.9)).gather(1, truths[:, None])[:, 0]
    assert together.double().mean() == pytest.approx(0.9, abs=0.02)
    assert together[truths == 1].double().mean() < 0.8  # one limit for all is kind to the easy classes
    each = conformal_sets(fresh, class_limits(scores, labels, 3, 0.9)).gather(1, truths[:, None])[:, 0]
    for index in range(3):
        assert each[truths == index].double().mean() == pytest.approx(0.9, abs=0.03)


@pytest.mark.parametrize("coverage", [0.0, 1.0, 90])
def test_coverage_is_a_fraction(coverage):
    with pytest.raises(UsageError, match=r"between 0 and 1, such as 0\.9; got"):
        limit(torch.rand(10), coverage)
