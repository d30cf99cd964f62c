"""Names of a model that knows certain classes, counted by their likeliest class, and everything else by a fraction."""

import pytest
import torch

from densevl.classifiers.closed_set import ClosedSetClassifier, ClosedSetMatching
from densevl.core.errors import UsageError
from densevl.core.features import ClosedSet, TextEmbeddings
from densevl.core.vocabulary import Vocabulary

CLASSES = 6


def texts(rest=True):
    """Of six classes "dog" covers three and "cat" one; "background" is what is left."""
    generator = torch.Generator().manual_seed(0)
    covers = torch.zeros(2, CLASSES, dtype=torch.bool)
    covers[0, :3] = covers[1, 3] = True
    known = ClosedSet(torch.randn(CLASSES, 4, generator=generator), covers, 0 if rest else None)
    vocabulary = Vocabulary.parse("background, dog, cat" if rest else "dog, cat")
    owners = torch.tensor([1, 2] if rest else [0, 1])
    return TextEmbeddings(torch.eye(4)[:2], owners, vocabulary, "tiny@1", "none", closed_set=known)


def vectors():
    drawn = torch.randn(5, 4, generator=torch.Generator().manual_seed(1))
    drawn[:, -1] = drawn[:, -1].abs() + 0.5
    return drawn / drawn.norm(dim=1, keepdim=True)


def each(given):
    return (vectors() @ given.closed_set.weight.mT / vectors()[:, -1:]).softmax(1)


def test_the_likeliest_class_counts_and_the_rest_by_its_factor():
    given = texts()
    p = each(given)
    expected = torch.stack([0.1 * (p[:, 4] + p[:, 5]), p[:, :3].amax(1), p[:, 3]], dim=1)
    found = ClosedSetMatching("largest", 0.1).fit(given)(vectors()).exp()
    torch.testing.assert_close(found, expected / expected.sum(1, keepdim=True))


def test_the_factor_alone():
    given = texts()
    p = each(given)
    expected = torch.stack([0.5 * (p[:, 4] + p[:, 5]), p[:, :3].sum(1), p[:, 3]], dim=1)
    found = ClosedSetClassifier(given, others=0.5)(vectors()).exp()
    torch.testing.assert_close(found, expected / expected.sum(1, keepdim=True))


def test_by_default_probabilities_are_those_of_the_model():
    given = texts()
    p = each(given)
    expected = torch.stack([p[:, 4] + p[:, 5], p[:, :3].sum(1), p[:, 3]], dim=1)
    torch.testing.assert_close(ClosedSetMatching().fit(given)(vectors()).exp(), expected)
    assert ClosedSetMatching().name == "closed-set"
    assert ClosedSetMatching("largest", 0.02).name == "closed-set(count=largest, others=0.02)"


def test_without_a_rest_the_names_share_everything():
    found = ClosedSetClassifier(texts(rest=False), "largest")(vectors()).exp()
    torch.testing.assert_close(found.sum(1), torch.ones(5))


@pytest.mark.parametrize("settings", [{"count": "mean"}, {"others": 0.0}, {"others": float("nan")}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(UsageError, match="count=sum or largest and others above 0"):
        ClosedSetMatching(**settings)
