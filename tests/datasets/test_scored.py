"""Scored examples: what is read, and what is refused with one clear error."""

import json

import numpy as np
import pytest

from densevl.core.drawing.overlay import write_image
from densevl.core.errors import UsageError
from densevl.datasets.scored import given_scored, read_scored


@pytest.fixture
def folder(tmp_path):
    write_image(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    return tmp_path


def test_images_and_regions_of_several_texts(folder):
    records = [
        {"image": "a.png", "text": "larger", "score": 2},
        {"image": "a.png", "text": "nearer  the left", "score": -0.5, "box": [1, 2, 3, 4]},
        {"image": "a.png", "text": "larger", "score": 1, "mask": "m.png"},
    ]
    (folder / "ranks.json").write_text(json.dumps(records))
    found = read_scored(folder / "ranks.json")
    assert [(one.text, one.score) for one in found] == [("larger", 2), ("nearer the left", -0.5), ("larger", 1)]
    assert found[1].example.box == (1, 2, 3, 4)
    assert found[2].example.mask == folder / "m.png"
    assert given_scored(found) == found


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"image": "a.png", "text": "larger"}, "record 1: there is no score"),
        ({"image": "a.png", "text": "larger", "score": float("nan")}, "score is a finite number; got nan"),
        ({"image": "a.png", "text": "larger", "score": "big"}, "score is a finite number; got 'big'"),
        ({"image": "a.png", "text": " ", "score": 1}, "text is a text"),
        ({"text": "larger", "score": 1}, "image is a text"),
        ({"image": "a.png", "text": "larger", "scores": 1}, "did you mean score"),
        ({"image": "b.png", "text": "larger", "score": 1}, "1 of 1 images"),
    ],
)
def test_what_cannot_be_used_is_said(folder, record, said):
    (folder / "ranks.json").write_text(json.dumps([record]))
    with pytest.raises(UsageError, match=said):
        read_scored(folder / "ranks.json")


@pytest.mark.parametrize("content", ["[]", "{}", "[1]"])
def test_files_without_examples_are_refused(folder, content):
    (folder / "ranks.json").write_text(content)
    with pytest.raises(UsageError, match="scored example"):
        read_scored(folder / "ranks.json")
    with pytest.raises(UsageError, match="no scored examples at"):
        read_scored(folder / "other.json")
