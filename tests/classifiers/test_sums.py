"""Sums of vectors against the plain computations."""

import pytest
import torch

from densevl.classifiers.sums import Sums
from densevl.core.errors import UsageError


@pytest.fixture
def data():
    draw = torch.Generator().manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(40, 7, generator=draw), dim=1)
    labels = torch.randint(0, 3, (40,), generator=draw)
    return vectors, labels, torch.rand(40, generator=draw) + 0.1


def test_means_and_scatter_are_those_of_the_definition(data):
    vectors, labels, weights = data
    sums = Sums.of(vectors, labels, 3, weights)
    means = torch.zeros(3, 7, dtype=torch.float64)
    for label in range(3):
        chosen = labels == label
        means[label] = (weights[chosen, None] * vectors[chosen]).double().sum(0) / weights[chosen].double().sum()
    assert torch.allclose(sums.means, means)
    centres = torch.randn(3, 7, dtype=torch.float64)
    offset = vectors.double() - centres[labels]
    assert torch.allclose(sums.scatter(centres), offset.mT @ (weights[:, None] * offset))


def test_parts_add_up_to_the_whole(data):
    vectors, labels, weights = data
    whole = Sums.of(vectors, labels, 3, weights)
    pieces = zip(*(part.split([15, 25]) for part in data), strict=True)
    first, rest = (Sums.of(vectors, labels, 3, weights) for vectors, labels, weights in pieces)
    both = first + rest
    for name in ("counts", "totals", "squares"):
        assert torch.allclose(getattr(both, name), getattr(whole, name), atol=1e-12)


def test_classes_move_among_more(data):
    vectors, labels, _ = data
    moved = Sums.of(vectors, labels, 3).placed([4, 0, 2], 5)
    direct = Sums.of(vectors, torch.tensor([4, 0, 2])[labels], 5)
    assert all(torch.equal(getattr(moved, name), getattr(direct, name)) for name in ("counts", "totals", "squares"))


def test_a_class_without_examples_has_a_mean_of_zero():
    sums = Sums.of(torch.ones(1, 2), torch.tensor([1]), 2)
    assert sums.means.tolist() == [[0, 0], [1, 1]]


def test_sums_of_other_sizes_are_refused(data):
    with pytest.raises(UsageError, match="not those of 4 classes"):
        Sums.of(*data[:2], 3).check(4, 7)
