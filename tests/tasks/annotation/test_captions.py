"""Captions of every layout, by path, by name and beside the image."""

import json
from pathlib import Path

import pytest

from densevl.core.errors import UsageError
from densevl.tasks.annotation.captions import caption_beside, read_captions

EXPECTED = {"a": ("a red dog", "a dog"), "day1/b": ("two cats",)}
COCO = {
    "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 9, "file_name": "day1/b.jpg"}],
    "annotations": [
        {"image_id": 7, "caption": "a  red dog\n"},
        {"image_id": 9, "caption": "two cats"},
        {"image_id": 7, "caption": "a dog"},
        {"image_id": 7, "caption": "a red dog"},
    ],
}
LAYOUTS = {
    "coco.json": json.dumps(COCO),
    "object.json": json.dumps({"a.jpg": ["a red dog", "a dog"], "day1/b": "two cats"}),
    "list.json": json.dumps(
        [
            {"image": "a.jpg", "caption": "a red dog"},
            {"image": "a", "caption": "a dog"},
            {"image": "day1/b.png", "caption": "two cats"},
        ]
    ),
    "lines.jsonl": '{"path": "a.jpg", "text": "a red dog"}\n\n{"path": "a.jpg", "text": "a dog"}\n'
    '{"path": "day1/b.jpg", "text": "two cats"}',
    "table.csv": '\ufefffilepath,title,caption\na.jpg,x,a red dog\na.jpg,y,"a dog"\nday1/b.jpg,,two cats\nc.jpg,,\n',
    "table.tsv": "file_name\tcaption\na.jpg\ta red dog\na.jpg\ta dog\nday1/b.jpg\ttwo cats\n",
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_gives_the_same_captions(name, tmp_path):
    (tmp_path / name).write_text(LAYOUTS[name], encoding="utf-8")
    captions = read_captions(tmp_path / name)
    assert captions.by_name == EXPECTED
    assert captions.of(Path("/photos/day1/b.jpg"), "day1/b") == ("two cats",)
    assert captions.of(Path("/photos/x/a.png"), "x/a") == ("a red dog", "a dog")
    assert captions.of(Path("/photos/b.jpg"), "b") == ()
    assert captions.unused([(Path("/photos/a.jpg"), "a")]) == ["day1/b"]


def test_a_text_file_beside_an_image_is_its_caption(tmp_path):
    (tmp_path / "a.txt").write_text("a red\ndog \n")
    assert caption_beside(tmp_path / "a.jpg") == ("a red dog",)
    assert caption_beside(tmp_path / "b.jpg") == ()
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(UsageError, match=r"b\.txt cannot be read"):
        caption_beside(tmp_path / "b.jpg")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "{", "no JSON"),
        ("a.json", "[]", "has no captions"),
        ("a.json", "3", "no captions in a known layout"),
        ("a.json", '{"annotations": []}', "no captions in a known layout"),
        ("a.json", '{"images": [], "annotations": [{"image_id": 3, "caption": "x"}]}', "no captions in a known layout"),
        ("a.csv", "x,y\n1,2\n", "no column for the image"),
        ("a.jsonl", '{"image": "a", "caption": "b"}\n{', "line 2"),
        ("a.csv", "image,caption\na.jpg,\n", "has no captions"),
    ],
)
def test_what_holds_no_captions_says_what_is_expected(name, content, message, tmp_path):
    (tmp_path / name).write_text(content)
    with pytest.raises(UsageError, match=message):
        read_captions(tmp_path / name)


def test_a_missing_file_of_captions_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"none\.json cannot be read"):
        read_captions(tmp_path / "none.json")


def test_captions_in_a_bucket(bucket):
    bucket.pipe_file(f"{bucket.name}/captions.csv", f"image,caption\n{bucket.url}/a.png,a dog\nb.png,a cat\n".encode())
    captions = read_captions(f"{bucket.url}/captions.csv")
    assert captions.of(f"{bucket.url}/a.png", "a") == ("a dog",)
    assert captions.of(f"{bucket.url}/day1/b.png", "day1/b") == ("a cat",)
    assert captions.unused([(f"{bucket.url}/day1/b.png", "day1/b")]) == [f"{bucket.protocol[0]}:/{bucket.name}/a"]
    with pytest.raises(UsageError, match=r"^the captions [gs]3?s?://.*/none\.json is not there; check the address$"):
        read_captions(f"{bucket.url}/none.json")
