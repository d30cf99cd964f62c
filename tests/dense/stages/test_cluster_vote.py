"""The vote of clusters: sizes, windows, borders."""

import pytest
import torch

from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures
from densevl.dense.stages.cluster_vote import ClusterVote, regions_on_pixels


def features(regions, extent=None, grid=(2, 2), patch=4):
    return DenseFeatures(torch.zeros(len(regions), 8, *grid), patch, "toy", regions=regions, extent=extent)


def test_a_vote():
    regions = torch.zeros(1, 8, 8, dtype=torch.int16)
    regions[:, :, 4:], regions[:, 0] = 1, -1
    labels = torch.randint(0, 3, (8, 8), generator=torch.Generator().manual_seed(0))
    found = ClusterVote()(labels, features(regions), [(0, 0, 8, 8)])
    assert found[0].equal(labels[0])
    for half in (slice(4), slice(4, 8)):
        assert (found[1:, half] == labels[1:, half].flatten().bincount().argmax()).all()


def test_an_image_of_another_size():
    regions = torch.arange(64).view(1, 8, 8)
    found = regions_on_pixels(features(regions), [(0, 0, 8, 8)], (16, 24))
    assert found.equal(regions[0].repeat_interleave(2, 0).repeat_interleave(3, 1))


def test_what_lies_beyond_the_image():
    """An image that is continued to whole patches: regions cover more than it."""
    regions = torch.arange(64).view(1, 8, 8)
    assert regions_on_pixels(features(regions), [(0, 0, 6, 7)], (7, 6)).equal(regions[0, :7, :6])
    beside = features(regions, extent=(-1, -2, 7, 6))
    assert regions_on_pixels(beside, [(0, 0, 6, 4)], (4, 6)).equal(regions[0, 2:6, 1:7])


def test_windows():
    regions = torch.zeros(2, 8, 8, dtype=torch.int64)
    regions[1, 0] = -1
    found = regions_on_pixels(features(regions), [(0, 0, 8, 8), (4, 0, 12, 8)], (8, 12))
    assert (found[1:, :6] == 0).all()
    assert (found[1:, 6:] == 1).all(), "of the window whose middle is nearest, under a number of its own"
    assert (found[0, 6:] == -1).all()


def test_no_regions():
    plain = DenseFeatures(torch.zeros(1, 8, 2, 2), 4, "toy")
    with pytest.raises(UsageError, match=r"cluster-vote needs regions.*such as cliptrase"):
        ClusterVote()(torch.zeros(8, 8).long(), plain, [(0, 0, 8, 8)])
