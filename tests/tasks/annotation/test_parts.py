"""Parts: the same inputs give the same ones, every picture is in one of them."""

import pickle

import pytest

from densevl.core.errors import UsageError
from densevl.core.failures import Failure
from densevl.datasets.region_texts import shard_bytes
from densevl.tasks.annotation.captions import Captions
from densevl.tasks.annotation.parts import CaptionedImage, plan_parts, read_part


def test_every_picture_is_in_one_part(pictures):
    parts = plan_parts([pictures], 3)
    assert [len(part.images) for part in parts] == [3, 3, 1]
    read = [item for part in parts for item in read_part(part)]
    assert sorted(item.key for item in read) == sorted(
        path.relative_to(pictures).with_suffix("").as_posix() for path in pictures.rglob("*.*g")
    )
    assert all(isinstance(item, CaptionedImage) and len(item.captions) == 1 for item in read)
    assert plan_parts([pictures], 3) == parts
    assert pickle.loads(pickle.dumps(parts)) == parts
    assert len({part.place for part in parts}) == 3


def test_a_changed_picture_changes_its_part_alone(pictures):
    before = plan_parts([pictures], 3)
    with (pictures / "img0.png").open("ab") as file:
        file.write(b" ")
    after = plan_parts([pictures], 3)
    changed = [one.index for one, two in zip(before, after, strict=True) if one.identity != two.identity]
    assert changed == [next(part.index for part in before if any(key == "img0" for key, _, _ in part.images))]


def test_captions_go_with_their_parts(pictures):
    captions = Captions({"img0": ("a dog",), "day1/img1": ("a cat", "two cats")})
    read = {item.key: item.captions for part in plan_parts([pictures], 2, captions) for item in read_part(part)}
    assert (read["img0"], read["day1/img1"]) == (("a dog",), ("a cat", "two cats"))
    # A picture that the file does not name has the text beside it.
    assert read["img2"] == ("A big house, a car and a dog near the water.",)


def test_without_captions_and_captioner_the_error_names_the_cure(pictures):
    for path in pictures.rglob("*.txt"):
        path.unlink()
    with pytest.raises(UsageError, match=r"none of the 7 images has a caption.*--captions.*\.txt.*--captioner"):
        plan_parts([pictures], 3)
    assert len(plan_parts([pictures], 3, captioner=True)) == 3


def test_each_shard_is_a_part(records, tmp_path):
    whole = shard_bytes(records, "webdataset")
    (tmp_path / "b.tar").write_bytes(whole)
    end = whole.index(b"c.json")  # the header of the second record's last file
    (tmp_path / "a.tar").write_bytes(whole[:end])
    first, second = plan_parts([tmp_path], 100)
    assert [item.key for item in read_part(second)] == [record.key for record in records]
    *read, failure = read_part(first)
    assert isinstance(failure, Failure)
    assert "the last whole record is 'day1/a.b%2E', number 1 of 3" in failure.reason
    assert [item.key for item in read] == [records[0].key]
    assert pickle.loads(pickle.dumps((first, second))) == (first, second)
    assert first.place == str(tmp_path / "a.tar")


def test_an_empty_folder_is_named(tmp_path):
    with pytest.raises(UsageError, match="no image"):
        plan_parts([tmp_path], 10)
