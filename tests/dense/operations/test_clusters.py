"""Clusters, connected parts and votes against scikit-learn, SciPy and plain loops."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.sparse.csgraph import connected_components
from sklearn.cluster import DBSCAN

from densevl.dense.operations.clusters import blobs, components, dbscan, majority

DRAW = torch.Generator().manual_seed(0)


@pytest.mark.parametrize("eps", [0.02, 0.08, 0.12, 0.2, 1.0])
@pytest.mark.parametrize("least", [1, 2, 4, 9])
def test_clusters_of_scikit_learn(eps, least):
    rows = torch.rand(300, 2, generator=DRAW)
    expected = DBSCAN(eps=eps, min_samples=least).fit_predict(rows.numpy())
    assert dbscan(rows, eps, least).tolist() == expected.tolist()


@pytest.mark.parametrize("count", [0, 1, 2])
def test_clusters_of_few_rows(count):
    assert dbscan(torch.zeros(count, 3), 0.1, 1).tolist() == [0] * count
    assert dbscan(torch.zeros(count, 3), 0.1, 3).tolist() == [-1] * count


def test_connected_parts():
    edges = torch.rand(60, 60, generator=DRAW) < 0.02
    edges |= edges.mT.clone()
    _, expected = connected_components(edges.numpy(), directed=False)
    found = components(edges)
    assert all(found[i] == np.flatnonzero(expected == expected[i])[0] for i in range(60))
    chain = torch.eye(200).roll(1, 0) > 0
    chain[0, -1] = False
    assert components(chain | chain.mT).tolist() == [0] * 200


def test_blobs():
    masks = torch.rand(5, 13, 19, generator=DRAW) < 0.4
    found = blobs(masks)
    assert (found < 0).equal(~masks)
    for mask, parts in zip(masks, found, strict=True):
        expected, count = ndimage.label(mask.numpy(), np.ones((3, 3)))
        pairs = {(int(a), int(b)) for a, b in zip(expected.ravel(), parts.flatten(), strict=True) if a}
        assert len(pairs) == count == len({b for _, b in pairs})


def test_majority():
    labels, groups = torch.randint(0, 4, (9, 11), generator=DRAW), torch.randint(-1, 5, (9, 11), generator=DRAW)
    found = majority(labels, groups)
    for group in range(5):
        members = labels[groups == group]
        assert (found[groups == group] == members.bincount().argmax()).all()
    assert found[groups < 0].equal(labels[groups < 0])
    assert majority(labels, torch.full_like(labels, -1)).equal(labels)
    assert majority(torch.tensor([3, 1, 1, 3]), torch.zeros(4).long()).tolist() == [1] * 4, "the lowest of a tie"
