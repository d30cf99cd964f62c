"""The unknown: doubts by hand, and a class that wins exactly beyond its limit."""

import pytest
import torch
import torch.nn.functional as F

from densevl.classifiers.contracts import LinearClassifier
from densevl.classifiers.sums import Sums
from densevl.classifiers.unknown import UNKNOWN, Known, OpenClassifier, with_unknown
from densevl.core.errors import UsageError
from densevl.core.vocabulary import Vocabulary

WORDS, MODEL, DIM = Vocabulary.parse("bolt, nut, gear"), "tiny@1", 6


def drawn(n, seed=0):
    draw = torch.Generator().manual_seed(seed)
    means = F.normalize(torch.randn(3, DIM, generator=torch.Generator().manual_seed(9)), dim=1)
    labels = torch.randint(3, (n,), generator=draw)
    return means[labels] + 0.1 * torch.randn(n, DIM, generator=draw), labels


def test_the_doubt_is_the_distance_from_the_nearest_class():
    vectors, labels = drawn(4000)
    known = Known.of(Sums.of(vectors, labels, 3))
    means = torch.stack([vectors[labels == label].mean(0) for label in range(3)])
    inverse = torch.cov((vectors - means[labels]).mT).double().inverse()
    for vector, doubt in zip(vectors[:5], known.doubts(vectors[:5].double()), strict=True):
        offsets = (vector - means).double()
        expected = min(float(offset @ inverse @ offset) for offset in offsets) / DIM
        assert float(doubt) == pytest.approx(expected, rel=0.02)
    assert float(known.doubts(vectors).mean()) == pytest.approx(1, abs=0.05)
    assert known.doubts(vectors[:4].reshape(2, 2, DIM)).shape == (2, 2)


def test_classes_without_examples_are_not_known():
    vectors, labels = drawn(60)
    kept = labels != 2
    known = Known.of(Sums.of(vectors[kept], labels[kept], 3))
    assert len(known.means) == 2
    assert known.doubts(vectors[~kept]).min() > known.doubts(vectors[kept]).max()


def test_doubts_by_a_part_can_be_compared_with_those_by_all():
    """Shrinkage depends on the number of examples, so a part is shrunk as the whole is."""
    draw = torch.Generator().manual_seed(0)
    wide, fresh = torch.randn(40, 60, generator=draw), torch.randn(400, 60, generator=draw)
    labels = torch.zeros(40, dtype=torch.long)
    whole = Known.of(Sums.of(wide, labels, 1)).doubts(fresh).mean()
    part = Sums.of(wide[:30], labels[:30], 1)
    assert float(Known.of(part, 40).doubts(fresh).mean() / whole) == pytest.approx(1, abs=0.1)
    assert float(Known.of(part).doubts(fresh).mean() / whole) < 0.85


def test_the_unknown_wins_exactly_beyond_the_limit():
    vectors, labels = drawn(90)
    known = Known.of(Sums.of(vectors, labels, 3))
    linear = LinearClassifier(30 * known.means.float(), torch.zeros(3), WORDS, MODEL, "regions: x")
    limit = float(known.doubts(vectors).median())
    opened = OpenClassifier(linear, known, limit, with_unknown(WORDS))
    assert (opened.model_id, opened.space) == (MODEL, "regions: x")
    answers = opened(vectors).argmax(1)
    beyond = known.doubts(vectors) > limit
    assert beyond.any()
    assert not beyond.all()
    assert torch.equal(answers == 3, beyond)
    assert torch.equal(answers[~beyond], linear(vectors).argmax(1)[~beyond])


def test_the_unknown_is_the_last_class_and_a_class_of_that_name_is_refused():
    words = with_unknown(WORDS)
    assert words.names == ("bolt", "nut", "gear", UNKNOWN)
    assert words.palette[:3] == WORDS.palette
    with pytest.raises(UsageError, match="called 'unknown' already"):
        with_unknown(Vocabulary.parse("bolt, other|Unknown"))
