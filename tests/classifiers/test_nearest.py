"""Nearest examples and shares of neighbours: oracles one by one."""

import pytest
import torch
from toys.few_examples import MODEL, few_shot_task, texts_of, units

from densevl.classifiers.contracts import Examples
from densevl.classifiers.folds import likelihood_loss
from densevl.classifiers.nearest import NearestExample
from densevl.classifiers.neighbours import LEAST, Neighbours
from densevl.core.errors import UsageError


def test_a_class_scores_as_its_nearest_example():
    texts, examples, _ = few_shot_task()
    fitted = NearestExample(1.0).fit(texts, examples)
    vectors = units(9, 12, seed=5)
    expected = [[max(float(v @ x) for x in examples.vectors[examples.labels == k]) for k in range(3)] for v in vectors]
    torch.testing.assert_close(fitted(vectors), torch.tensor(expected))
    torch.testing.assert_close(fitted(vectors.reshape(3, 3, 12))[1, 2], fitted(vectors)[5])
    torch.testing.assert_close(fitted(examples.vectors).argmax(1), examples.labels)


def test_the_temperature_is_chosen_by_held_out_examples():
    texts, examples, test = few_shot_task()
    chosen, plain = NearestExample().fit(texts, examples), NearestExample(1.0).fit(texts, examples)
    assert chosen.temperature > 2
    losses = [likelihood_loss(one(test.vectors), test.labels) for one in (chosen, plain)]
    assert losses[0] < losses[1] - 0.2
    single = Examples(units(3, 12), torch.arange(3), MODEL)
    assert NearestExample().fit(texts, single, 33.0).temperature == 33.0


def test_shares_are_those_of_the_neighbours():
    texts, examples, _ = few_shot_task()
    fitted = Neighbours(5).fit(texts, examples)
    for vector in units(6, 12, seed=5):
        cosines = sorted(((float(vector @ x), int(k)) for x, k in zip(*examples[:2], strict=True)), reverse=True)[:5]
        total = sum(max(cosine, 0) for cosine, _ in cosines)
        expected = [sum(max(cosine, 0) for cosine, k in cosines if k == label) / total for label in range(3)]
        torch.testing.assert_close(fitted.shares(vector), torch.tensor(expected))
        torch.testing.assert_close(fitted(vector).softmax(-1), torch.tensor(expected), atol=3 * LEAST, rtol=0)
        similar, rows = fitted.nearest(vector)
        torch.testing.assert_close(similar, torch.tensor([cosine for cosine, _ in cosines]))
        assert examples.labels[rows].tolist() == [k for _, k in cosines]
    grid = units(2, 3, 12, seed=6)
    torch.testing.assert_close(fitted(grid)[1, 2], fitted(grid[1, 2]))


def test_more_neighbours_than_examples_and_none_that_is_alike():
    vectors = torch.eye(3)
    fitted = Neighbours(100).fit(texts_of(vectors), Examples(vectors, torch.arange(3), MODEL))
    torch.testing.assert_close(fitted.shares(-vectors[0]), torch.full((3,), 1 / 3))
    torch.testing.assert_close(fitted.shares(vectors[0]), vectors[0])


def test_bad_settings_are_named():
    with pytest.raises(UsageError, match="temperature is a factor above 0; got -1"):
        NearestExample(-1.0)
    with pytest.raises(UsageError, match="count is the number that are asked, 1 or more; got 0"):
        Neighbours(0)
