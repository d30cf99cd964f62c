"""Classes learnt from the keys of the image itself: by loops, by what they must not change, and wrongly used."""

import numpy as np
import pytest
import torch

from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures
from densevl.dense.stages.appearance import EPSILON, Appearance, learn_appearance


def case(seed=0, n=2, k=3, h=3, w=4, c=5):
    generator = torch.Generator().manual_seed(seed)
    probabilities = torch.randn(n, k, h, w, generator=generator).softmax(dim=1)
    return probabilities, torch.randn(n, c, h, w, generator=generator)


def features(keys):
    return DenseFeatures(torch.zeros(len(keys), 2, *keys.shape[2:]), 8, "tiny@1", keys)


def learnt_by_loops(probabilities, keys, rounds, weight, shrinkage):
    """The equations, patch by patch and class by class."""
    n, k, h, w = probabilities.shape
    places = [(i, y, x) for i in range(n) for y in range(h) for x in range(w)]
    p = np.array([probabilities[i, :, y, x].numpy() for i, y, x in places], float)
    vectors = np.array([keys[i, :, y, x].numpy() for i, y, x in places], float)
    vectors -= vectors.mean(0)
    q, size = p.copy(), vectors.shape[1]
    for _ in range(rounds):
        counts = q.sum(0) + EPSILON
        means = [sum(q[i, j] * vectors[i] for i in range(len(p))) / counts[j] for j in range(k)]
        spread = np.zeros((size, size))
        for j in range(k):
            spread += sum(q[i, j] * np.outer(vectors[i] - means[j], vectors[i] - means[j]) for i in range(len(p)))
        spread /= len(p)
        spread = (1 - shrinkage) * spread + (shrinkage * spread.trace() / size + EPSILON) * np.eye(size)
        inverse = np.linalg.inv(spread)
        logits = np.array(
            [
                [
                    np.log(p[i, j]) + weight * (m @ inverse @ vectors[i] - m @ inverse @ m / 2)
                    for j, m in enumerate(means)
                ]
                for i in range(len(p))
            ]
        )
        q = np.exp(logits - logits.max(1, keepdims=True))
        q /= q.sum(1, keepdims=True)
    result = torch.zeros(probabilities.shape, dtype=torch.float64)
    for (i, y, x), row in zip(places, q, strict=True):
        result[i, :, y, x] = torch.from_numpy(row)
    return result


@pytest.mark.parametrize(("rounds", "weight", "shrinkage"), [(1, 1.0, 1.0), (3, 0.5, 0.1), (2, 0.3, 0.6)])
def test_the_equations(rounds, weight, shrinkage):
    probabilities, keys = case()
    found = learn_appearance(probabilities, keys, rounds, weight, shrinkage)
    expected = learnt_by_loops(probabilities, keys, rounds, weight, shrinkage)
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(found.sum(1), torch.ones(2, 3, 4))


def test_what_looks_like_the_sure_places_joins_them():
    keys = torch.zeros(1, 2, 4, 6)
    keys[:, 0, :, :3] = keys[:, 1, :, 3:] = 1
    probabilities = torch.full((1, 2, 4, 6), 0.5)
    probabilities[:, :, :, :2] = torch.tensor([0.8, 0.2])[:, None, None]  # the coarse map misses the third column
    found = Appearance()(probabilities, features(keys))[0]
    assert (found[0, :, 2] > 0.6).all()
    assert (found[1, :, 3:] > 0.6).all()


def test_windows_of_an_image_learn_together():
    probabilities, keys = case(1)
    together = torch.cat(list(probabilities), dim=2)[None], torch.cat(list(keys), dim=2)[None]
    expected = torch.cat(list(learn_appearance(probabilities, keys, 3, 0.5, 0.1)), dim=2)[None]
    torch.testing.assert_close(learn_appearance(*together, 3, 0.5, 0.1), expected)


def test_keys_that_are_all_the_same_say_nothing():
    probabilities, keys = case(2)
    found = Appearance()(probabilities, features(torch.ones_like(keys)))
    torch.testing.assert_close(found, probabilities, atol=1e-4, rtol=1e-3)
    one = torch.ones(1, 1, 1, 1)
    assert torch.equal(Appearance()(one, features(one)), one)


def test_a_class_that_is_held_impossible_and_lower_precision():
    probabilities, keys = case(3)
    probabilities[:, 0] = 0
    found = Appearance()(probabilities / probabilities.sum(1, keepdim=True), features(keys.bfloat16()))
    assert found.isfinite().all()
    assert found[:, 0].max() < 1e-3


@pytest.mark.parametrize("settings", [{"rounds": 0}, {"weight": 0}, {"shrinkage": 0}, {"shrinkage": 1.5}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(UsageError, match="appearance takes one round or more"):
        Appearance(**settings)


def test_keys_are_needed():
    probabilities, keys = case()
    without = DenseFeatures(torch.zeros(2, 2, 3, 4), 8, "tiny@1")
    for wrong in (without, features(keys[:1]), features(keys[:, :, :2])):
        with pytest.raises(UsageError, match="needs keys on the grid"):
            Appearance()(probabilities, wrong)
    assert Appearance(rounds=2).name == "appearance(rounds=2, weight=0.5, shrinkage=0.1)"
