"""The vote of regions, from windows that overlap."""

import pytest
import torch

from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures
from densevl.dense.stages.mask_vote import MaskVote


def features(regions):
    return DenseFeatures(torch.zeros(len(regions), 1, 1, 1), 8, "x", regions=regions)


def test_most_pixels_of_a_region_decide_across_windows():
    regions = torch.tensor([[[0, 0, 1], [0, 0, -1]], [[0, 1, 1], [0, -1, -1]]])
    labels = torch.tensor([[3, 3, 2, 1], [3, 2, 0, 0]])
    found = MaskVote()(labels, features(regions), [(0, 0, 3, 2), (1, 0, 4, 2)])
    assert found.tolist() == [[3, 3, 1, 1], [3, 3, 0, 0]]


def test_labels_of_another_size_than_the_windows():
    regions = torch.tensor([[[0, 1]]])
    labels = torch.tensor([[1, 1, 2, 5], [1, 2, 2, 2]])
    assert MaskVote()(labels, features(regions), [(0, 0, 2, 1)]).tolist() == [[1, 1, 2, 2], [1, 1, 2, 2]]


def test_nothing_changes_where_nothing_was_found():
    labels = torch.tensor([[1, 2], [3, 0]])
    assert torch.equal(MaskVote()(labels, features(torch.full((1, 2, 2), -1)), [(0, 0, 2, 2)]), labels)


def test_features_without_regions():
    with pytest.raises(UsageError, match="give its model a mask_maker"):
        MaskVote()(torch.zeros(2, 2, dtype=torch.long), DenseFeatures(torch.zeros(1, 1, 1, 1), 8, "x"), [(0, 0, 2, 2)])
