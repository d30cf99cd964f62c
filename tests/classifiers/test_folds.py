"""Choosing within the examples: folds, held-out logits and weights."""

import pytest
import torch
import torch.nn.functional as F
from toys.few_examples import MODEL, clusters, units

from densevl.classifiers.contracts import Examples
from densevl.classifiers.folds import (
    fitted_weights,
    fold_numbers,
    likelihood_loss,
    one_a_thing,
    other_folds,
    out_of_fold,
)


@pytest.mark.parametrize("most", [2, 3, 4])
def test_folds_hold_as_many_of_each_class(most):
    labels = torch.tensor([0, 1, 0, 1, 0, 1, 0, 1, 2])
    numbers = fold_numbers(labels, most=most)
    assert numbers[-1] == -1  # a class of one image is never held out
    for label in (0, 1):
        counts = numbers[labels == label].bincount(minlength=most)
        assert counts.max() - counts.min() <= 1


def test_an_image_is_in_one_fold():
    labels, groups = torch.tensor([0, 0, 0, 0, 1, 1]), torch.tensor([7, 7, 3, 3, 5, 5])
    numbers = fold_numbers(labels, groups)
    assert numbers[4] == -1
    assert -1 not in numbers[:4]
    assert numbers[0] != numbers[2]
    assert torch.equal(numbers[::2], numbers[1::2])
    others = other_folds(numbers).int().tolist()
    assert others == [[0, 0, 1, 1, 1, 1]] * 2 + [[1, 1, 0, 0, 1, 1]] * 2


def test_held_out_logits_are_of_fits_that_did_not_see_them():
    vectors, labels = clusters(3, 4)
    examples = Examples(vectors, labels, MODEL)
    numbers = fold_numbers(labels)
    found = out_of_fold(examples, numbers, lambda some: lambda x: x @ some.vectors.sum(0)[:, None])
    expected = [float(vectors[i] @ vectors[numbers != numbers[i]].sum(0)) for i in range(12)]
    torch.testing.assert_close(found[:, 0], torch.tensor(expected))
    assert len(out_of_fold(examples, torch.full((12,), -1), lambda _: None)) == 0


def test_weights_are_the_best_of_a_grid():
    labels = torch.arange(60) % 3
    parts = [F.one_hot(labels, 3) + torch.randn(60, 3, generator=torch.Generator().manual_seed(i)) for i in (1, 2)]
    weights, _ = fitted_weights(parts, labels, [1.0, 1.0])
    grid = torch.logspace(-2, 1, 40)
    best = min((likelihood_loss(a * parts[0] + b * parts[1], labels), float(a), float(b)) for a in grid for b in grid)
    assert likelihood_loss(weights[0] * parts[0] + weights[1] * parts[1], labels) < best[0] + 0.01
    assert weights == pytest.approx(best[1:], rel=0.3)


def test_weights_stay_finite_where_everything_is_right_and_in_inference_mode():
    labels = torch.arange(6) % 2
    with torch.inference_mode():
        weights, _ = fitted_weights([F.one_hot(labels, 2).float()], labels, [1.0])
    assert 1 < weights[0] < 100
    silent = torch.zeros(6, 2)
    silent[:, 0] = -torch.inf
    assert all(weight < 100 for weight in fitted_weights([silent], torch.ones(6).long(), [1.0])[0])


def test_views_of_a_thing_become_one():
    vectors = units(5, 12)
    examples = Examples(vectors, torch.tensor([0, 1, 0, 1, 1]), MODEL, things=torch.tensor([4, 2, 4, 2, 9]))
    found = one_a_thing(examples._replace(weights=torch.full((5,), 0.5), captions=vectors, groups=torch.arange(5)))
    assert found.labels.tolist() == [1, 0, 1]
    assert found.weights.tolist() == [1.0, 1.0, 0.5]
    assert found.groups.tolist() == [1, 0, 4]
    expected = F.normalize(torch.stack([vectors[[1, 3]].mean(0), vectors[[0, 2]].mean(0), vectors[4]]), dim=1)
    torch.testing.assert_close(found.vectors, expected)
    torch.testing.assert_close(found.captions, expected)
    assert one_a_thing(examples._replace(things=None)).vectors is vectors
