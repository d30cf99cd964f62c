"""Stages that look at the whole image, against their equations, and heat maps."""

import pytest
import torch
import torch.nn.functional as F

from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures, TextEmbeddings
from densevl.core.vocabulary import Vocabulary
from densevl.dense.stages.min_max import MinMax
from densevl.dense.stages.whole_image import ClassScores, Redundancy


def toy(classes=3):
    draw = torch.Generator().manual_seed(0)
    vectors = F.normalize(torch.randn(classes, 8, generator=draw), dim=1)
    vocabulary = Vocabulary.parse(", ".join("abcdef"[:classes]))
    texts = TextEmbeddings(vectors, torch.arange(classes), vocabulary, "toy", "none")
    grid, whole = torch.randn(2, 8, 3, 4, generator=draw), torch.randn(2, 8, generator=draw)
    cosines = torch.einsum("qd,ndhw->nqhw", vectors, F.normalize(grid, dim=1))
    return cosines, DenseFeatures(grid, 16, "toy", whole=whole), texts


def test_redundancy():
    cosines, features, texts = toy()
    found = Redundancy(2.0)(cosines, features, texts)
    for n in range(2):
        weights = (2 * F.normalize(features.whole[n], dim=0) @ texts.vectors.T).softmax(0)
        weighted = [cosines[n, c] * weights[c] * 3 for c in range(3)]
        expected = torch.stack([one - sum(weighted) / 3 for one in weighted])
        torch.testing.assert_close(found[n], expected)


def test_class_scores():
    cosines, features, texts = toy()
    found = ClassScores()(cosines, features, texts)
    expected = F.normalize(features.whole[1], dim=0) @ texts.vectors[2]
    torch.testing.assert_close(found[1, 2], cosines[1, 2] * expected)


def test_one_class():
    with pytest.raises(UsageError, match="of one text is everything; give two or more"):
        Redundancy()(*toy(1))


@pytest.mark.parametrize("stage", [Redundancy(), ClassScores()])
def test_features_without_whole_images(stage):
    cosines, features, texts = toy()
    with pytest.raises(UsageError, match=r"needs a vector of the whole image.*such as gem, clip-surgery or cliptrase"):
        stage(cosines, DenseFeatures(features.grid, 16, "toy"), texts)


def test_heat_maps():
    scores = torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(1))
    scores[2] = 0.4
    found = MinMax()(scores, torch.zeros(3, 5, 7))
    assert found[:2].amin((1, 2)).tolist() == [0, 0]
    assert found[:2].amax((1, 2)).tolist() == [1, 1]
    assert found[2].eq(0).all(), "the same everywhere"
    order = scores[0].flatten().argsort()
    assert found[0].flatten()[order].diff().ge(0).all()
