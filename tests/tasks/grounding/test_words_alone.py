"""Referring with a text side that reads words and not sentences: photo's lexicon."""

import numpy as np
import pytest
import torch

from densevl import load
from densevl.core.errors import UsageError
from densevl.encoders.texts.lexicon import lexicon
from densevl.tasks.grounding.expression import parse_expression
from densevl.tasks.grounding.relations import resolve
from densevl.tasks.grounding.scoring import negative_bank

BOXES = [[0, 0, 40, 40], [60, 0, 100, 60], [20, 50, 80, 90], [100, 30, 130, 90]]


@pytest.fixture(scope="module")
def photo():
    return load("photo", lazy=True, mask_maker=None, calibration=1.0)


@pytest.fixture(scope="module")
def encoded(photo):
    image = np.random.default_rng(0).integers(0, 256, (90, 130, 3), np.uint8)
    return photo.encode_regions(image, BOXES)


def test_the_phrase_alone_is_scored(photo, encoded):
    found = photo.refer(encoded, "the cup next to the spoon")
    cups = photo.refer(encoded, "the cup")
    assert torch.equal(found.scores, cups.scores)  # and not those of the spoon
    assert not torch.allclose(found.scores, photo.refer(encoded, "spoon").scores)
    words = {text: photo.refer(encoded, text).probabilities for text in ("cup", "spoon")}
    tree = resolve(
        parse_expression("the cup next to the spoon"), encoded.regions.boxes, words.__getitem__, encoded.regions.size
    )
    torch.testing.assert_close(found.probabilities, tree.probabilities, rtol=1e-4, atol=1e-6)


def test_places_need_no_word(photo, encoded):
    found = photo.refer(encoded, "the leftmost thing")
    assert found.box == (0, 0, 40, 40)
    assert found.presence is None
    assert photo.refer(encoded, "the thing").probabilities.tolist() == pytest.approx([0.25] * 4)


def test_a_word_that_is_not_known_is_named(photo, encoded):
    with pytest.raises(UsageError, match="frisbee"):
        photo.refer(encoded, "the dog next to the frisbee")


@pytest.mark.parametrize("size", [(16, 16), (1, 1)])
def test_tiny_grey_images(photo, size):
    found = photo.refer(np.full(size, 90, np.uint8), "the left dog", [[0, 0, *size]])
    assert found.probabilities.tolist() == [1.0]


def test_the_bank_has_words_that_are_known():
    bank = negative_bank("imagenet", count=1000)
    assert len(bank.captions) > 100
    readings = [lexicon().read(text) for text in bank.captions]
    assert not [reading.text for reading in readings if reading.sense.sparse]


def test_presence_is_told(photo, encoded):
    found = photo.refer(encoded, "the dog")
    assert 0 <= found.presence <= 1
