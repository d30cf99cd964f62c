"""Labels that a second encoder learns of class texts; the arithmetic of the choice is in the golden tests."""

import pytest
import torch

from densevl.core.errors import UsageError
from densevl.training.tuning.pseudo_labels import certain_examples, count_each, pseudo_labels

NAMES = ["left", "right"]


def two_kinds(count=240):
    """Examples of which texts see a doubtful half, and a second encoder all: probabilities, features, classes."""
    draw = torch.Generator().manual_seed(0)
    classes = torch.arange(count) % 2
    features = torch.randn(count, 8, generator=draw)
    features[:, 0] = 5 * (2.0 * classes - 1) + 0.3 * features[:, 0]
    logits = 1.3 * torch.randn(count, 2, generator=draw)
    logits[torch.arange(count), classes] += 1.5
    return logits.softmax(1), 100 * features + 7, classes


def test_a_class_keeps_a_fifth_of_its_share_and_sixteen_at_least():
    assert count_each(100, 5) == 16
    assert count_each(1000, 5) == 40
    assert count_each(999, 5) == 39


def test_no_class_takes_an_example_that_looks_more_like_another():
    probabilities = torch.tensor([[0.6, 0.4], [0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])
    found = certain_examples(probabilities, 2)
    assert found.places.tolist() == [1, 3, 2]
    assert found.labels.tolist() == [0, 0, 1]
    torch.testing.assert_close(found.confidence, torch.tensor([0.9, 0.7, 0.8]))


def test_what_the_second_encoder_sees_mends_what_the_texts_take_for_another():
    probabilities, features, classes = two_kinds()
    by_texts = (probabilities.argmax(1) == classes).float().mean()
    found = pseudo_labels(probabilities, features, NAMES)
    assert by_texts < 0.85
    assert (found == classes).float().mean() > 0.95
    assert torch.equal(found, pseudo_labels(probabilities, features, NAMES))


def test_one_class_alone_and_numbers_that_are_none_are_refused():
    probabilities, features, _ = two_kinds()
    with pytest.raises(UsageError, match=r"every example looks most like 'left' of left, right"):
        pseudo_labels(torch.tensor([[0.9, 0.1]]).expand(240, -1), features, NAMES)
    features[3, 2] = float("nan")
    with pytest.raises(UsageError, match="vectors that are not finite"):
        pseudo_labels(probabilities, features, NAMES)
