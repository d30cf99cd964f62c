"""Doubts of examples without their images, against fits anew of all others."""

import pytest
import torch
import torch.nn.functional as F

from densevl.classifiers.left_out import IMAGES, left_out_doubts
from densevl.classifiers.sums import Sums, precision_of
from densevl.classifiers.unknown import Known

CLASSES = 3


def drawn(n, width=6, seed=0):
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % CLASSES
    return F.normalize(torch.randn(n, width, generator=draw) + 2 * F.one_hot(labels, width), dim=1).double(), labels


@pytest.mark.parametrize(("each", "width", "n"), [(1, 6, 30), (4, 6, 30), (4, 40, 30), (2, 6, 10)])
def test_an_image_is_left_out_as_by_a_fit_anew(each, width, n):
    vectors, labels = drawn(n, width)
    images, weights = torch.arange(n) // each, torch.rand(n, generator=torch.Generator().manual_seed(1)) + 0.5
    sums = Sums.of(vectors, labels, CLASSES, weights)
    found, count = left_out_doubts(sums, vectors, labels, images, weights), float(sums.counts.sum())
    for number in range(n):
        others = images != images[number]
        left = Sums.of(vectors[others], labels[others], CLASSES, weights[others])
        grown = (count - CLASSES) / (float(left.counts.sum()) - CLASSES)
        precision = precision_of(left.scatter(left.means) * grown, count) * ((count - 1) / width)
        offsets = vectors[number] - left.means
        squared = ((offsets @ precision) * offsets).sum(1) / width
        expected = (squared * (1 + 1 / sums.counts) / (1 + 1 / left.counts)).min()
        assert float(found[number]) == pytest.approx(float(expected), rel=1e-9)


def test_doubts_are_those_of_others_like_them():
    """Of what is left out as of what was never there, on average, for few examples and for many."""
    for shots in (2, 4, 16):
        vectors, labels = drawn(CLASSES * shots, 20)
        fresh, _ = drawn(3000, 20, seed=5)
        sums = Sums.of(vectors, labels, CLASSES)
        left = left_out_doubts(sums, vectors, labels, torch.arange(len(labels)))
        assert float(left.median() / Known.of(sums).doubts(fresh).median()) == pytest.approx(1, abs=0.25)


def test_what_the_other_images_do_not_show_is_not_known():
    vectors, labels = drawn(9)
    alone = torch.tensor([0, 0, 0, 1, 1, 1, 2, 0, 1])
    found = left_out_doubts(Sums.of(vectors, alone, CLASSES), vectors, alone, torch.arange(9))
    assert found.isinf().tolist() == (alone == 2).tolist()
    of_classes = left_out_doubts(Sums.of(vectors, labels, CLASSES), vectors, labels, labels)
    assert of_classes.isinf().all()


def test_equal_vectors_have_no_doubt():
    vectors = F.one_hot(torch.arange(6) % 3, 4).double()
    sums = Sums.of(vectors, torch.arange(6) % 3, 3)
    assert left_out_doubts(sums, vectors, torch.arange(6) % 3, torch.arange(6)).abs().max() < 1e-9


def test_of_very_many_images_a_part_is_left_out():
    vectors, labels = drawn(IMAGES + 200)
    found = left_out_doubts(Sums.of(vectors, labels, CLASSES), vectors, labels, torch.arange(len(labels)))
    assert int(found.isfinite().sum()) == IMAGES
