"""Shrunk Gaussian classes against scikit-learn."""

import numpy as np
import pytest
import torch

from densevl.classifiers.shrunk import shrunk_weights
from densevl.classifiers.sums import Sums


def drawn(counts=(30, 12, 25), dim=6, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    mix = rng.normal(size=(dim, dim))
    return rng.normal(size=(len(labels), dim)) @ mix + 2 * rng.normal(size=(len(counts), dim))[labels], labels


@pytest.mark.parametrize("shrinkage", [0.05, 0.5, 1.0])
def test_weights_are_those_of_scikit_learn(shrinkage):
    analysis = pytest.importorskip("sklearn.discriminant_analysis")
    vectors, labels = drawn()
    sums = Sums.of(torch.from_numpy(vectors), torch.from_numpy(labels), 3)
    ((weight, bias),) = shrunk_weights(sums, [shrinkage])
    theirs = analysis.LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage).fit(vectors, labels)
    np.testing.assert_allclose(weight.numpy(), theirs.coef_, rtol=1e-4, atol=1e-5)
    without_priors = theirs.intercept_ - np.log(theirs.priors_)
    np.testing.assert_allclose(bias.numpy(), without_priors, rtol=1e-4, atol=1e-5)


def test_class_without_examples_never_wins():
    vectors, labels = drawn((20, 20))
    sums = Sums.of(torch.from_numpy(vectors), torch.from_numpy(labels), 3)
    ((weight, bias),) = shrunk_weights(sums, [0.3])
    logits = torch.from_numpy(vectors).float() @ weight.mT + bias
    assert logits.softmax(1)[:, 2].max() == 0
    assert bool(logits.isfinite().all())


def test_equal_vectors_of_each_class_are_told_apart_by_the_nearest_mean():
    vectors = torch.eye(3, dtype=torch.float64).repeat_interleave(4, 0)
    labels = torch.arange(3).repeat_interleave(4)
    ((weight, bias),) = shrunk_weights(Sums.of(vectors, labels, 3), [0.1])
    assert torch.equal((vectors.float() @ weight.mT + bias).argmax(1), labels)
