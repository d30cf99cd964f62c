import json
from dataclasses import replace

import pytest

from densevl.core.errors import UsageError
from densevl.datasets.referring.annotations import (
    FORMAT,
    ReferringData,
    is_annotations,
    read_annotations,
    write_annotations,
)


def data(toy) -> ReferringData:
    images = tuple(replace(image, candidates={"true": ((0.0, 0.5, 9.0, 9.0),)}) for image in toy.truth)
    return ReferringData("refcoco", "unc", "official", images, {"duplicate refs": 2})


def test_written_and_read(toy, tmp_path):
    write_annotations(tmp_path / "a.jsonl", data(toy))
    assert is_annotations(tmp_path / "a.jsonl")
    found = read_annotations(tmp_path / "a.jsonl")
    assert found == data(toy)
    assert found.splits == {s: sum(i.expressions for i in toy.truth if i.split == s) for s in ("val", "testA", "train")}
    assert str(found).startswith("refcoco (unc), 4 images; expressions: val ")
    assert "left out: 2 duplicate refs" in str(found)


def test_a_split_that_is_not_there(toy):
    assert [image.image_id for image in data(toy).of_split("val")] == [100, 101]
    with pytest.raises(UsageError, match=r"no expressions of the split 'testB'; did you mean testA\?"):
        data(toy).of_split("testB")


def _line(**changes):
    line = {"image_id": 1, "file_name": "a.jpg", "split": "val"}
    ref = {"ref_id": 0, "ann_id": 0, "box": [0, 0, 4, 4], "sentences": ["it"]}
    return json.dumps({**line, "refs": [{**ref, **changes.pop("ref", {})}], **changes})


HEAD = json.dumps({"format": FORMAT, "version": 1, "dataset": "refcoco", "splits_by": "unc"})


def test_written_by_hand_with_no_more_than_is_needed(tmp_path):
    (tmp_path / "a.jsonl").write_text(f"{HEAD}\n{_line()}\n")
    (image,) = read_annotations(tmp_path / "a.jsonl").images
    assert (image.size, image.candidates, image.refs[0].mask, image.refs[0].kind) == (None, {}, None, "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "does not begin with the head"),
        ("{}\n", "does not begin with the head"),
        (HEAD.replace('"version": 1', '"version": 9') + "\n" + _line(), "version 1"),
        ("no json\n", "line 1: no JSON"),
        (f"{HEAD}\n", "has no image"),
        (f"{HEAD}\n[]\n", "line 2: expected an object; got list"),
        (f"{HEAD}\n{_line()}\n{{}}\n", "line 3: KeyError: 'image_id'"),
        (f"{HEAD}\n{_line(ref={'box': [5, 5, 4, 4]})}\n", "line 2: ValueError: a box is x0, y0, x1, y1"),
        (f"{HEAD}\n{_line(ref={'box': [5, 5]})}\n", "line 2: ValueError"),
        (f"{HEAD}\n{_line(size=[5])}\n", "line 2: IndexError"),
    ],
)
def test_what_cannot_be_read(tmp_path, text, message):
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(UsageError, match=message):
        read_annotations(tmp_path / "a.jsonl")


def test_missing(tmp_path):
    with pytest.raises(UsageError, match=r"none\.jsonl cannot be read"):
        read_annotations(tmp_path / "none.jsonl")
