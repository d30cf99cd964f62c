"""Pairs in Winoground's form."""

import json

import numpy as np
import pytest

from densevl.core.drawing.overlay import write_image
from densevl.core.errors import UsageError
from densevl.datasets.matching import read_matching

RECORD = {"image_0": "a", "image_1": "b.png", "caption_0": "a red cup and a blue plate", "caption_1": "a blue cup"}


@pytest.fixture
def folder(tmp_path):
    for name in ("images/a.png", "images/b.png"):
        write_image(tmp_path / name, np.zeros((8, 8, 3), np.uint8))
    return tmp_path


@pytest.mark.parametrize("lines", [True, False])
def test_json_and_lines_are_read(folder, lines):
    records = [{**RECORD, "tag": "Adjective", "id": 3}, RECORD]
    text = "\n".join(map(json.dumps, records)) if lines else json.dumps(records)
    (folder / "pairs.jsonl").write_text(text)
    first, second = read_matching(folder / "pairs.jsonl")
    assert [path.name for path in first.images] == ["a.png", "b.png"]
    assert first.captions == (RECORD["caption_0"], RECORD["caption_1"])
    assert (first.kind, second.kind) == ("Adjective", "all")
    assert read_matching(folder / "pairs.jsonl", folder / "images") == (first, second)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "holds no pairs to match"),
        ("no json", "holds no pairs to match"),
        ("[3]", "record 1: expected records"),
        (json.dumps([{**RECORD, "caption_1": " "}]), "record 1: caption_1 is a text; got ' '"),
        (json.dumps([RECORD, {**RECORD, "image_1": "c"}]), "record 2: there is no image c in .*--images"),
    ],
)
def test_what_cannot_be_used_is_said(folder, content, message):
    (folder / "pairs.json").write_text(content)
    with pytest.raises(UsageError, match=message):
        read_matching(folder / "pairs.json")
