"""Parts: the same inputs give the same ones, every picture is in one of them."""

import pickle

import pytest

from densevl.core.errors import UsageError
from densevl.core.failures import Failure
from densevl.datasets.region_texts import shard_bytes
from densevl.datasets.region_texts.shards import FORMATS
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
    assert changed == [next(part.index for part in before if any(item.relative == "img0" for item, _ in part.images))]


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


def test_images_in_a_bucket_have_the_texts_beside_them(pictures, bucket, tmp_path):
    for path in pictures.rglob("*.*"):
        bucket.pipe_file(f"{bucket.name}/photos/{path.relative_to(pictures).as_posix()}", path.read_bytes())
    (tmp_path / "list.txt").write_text(f"{bucket.url}/photos/day1/img1.jpg\n{pictures}/img0.png\n")
    here = {item.key: item.captions for part in plan_parts([pictures], 3) for item in read_part(part)}
    short = {key.removeprefix("day1/"): captions for key, captions in here.items()}
    for source, wanted in ((f"{bucket.url}/photos", here), (f"{bucket.url}/{{photos,photos/day1}}/*.*g", short)):
        parts = plan_parts([source], 3)
        assert {item.key: item.captions for part in parts for item in read_part(part)} == wanted
        assert pickle.loads(pickle.dumps(parts)) == parts
    listed = [item for part in plan_parts([f"@{tmp_path / 'list.txt'}"], 3) for item in read_part(part)]
    assert [item.captions for item in listed] == [here["day1/img1"], here["img0"]]
    bucket.rm_file(f"{bucket.name}/photos/img0.txt")
    fewer = {item.key: item.captions for part in plan_parts([f"{bucket.url}/photos"], 9) for item in read_part(part)}
    assert fewer == {**here, "img0": ()}
    before = plan_parts([f"{bucket.url}/photos"], 3)
    bucket.pipe_file(f"{bucket.name}/photos/day1/img5.jpg", (pictures / "day1" / "img1.jpg").read_bytes())
    after = plan_parts([f"{bucket.url}/photos"], 3)
    assert [one.identity == two.identity for one, two in zip(before, after, strict=True)].count(False) == 1


def test_without_a_caption_in_a_bucket_the_error_names_the_cure(pictures, bucket):
    bucket.pipe_file(f"{bucket.name}/a.jpg", (pictures / "img2.jpg").read_bytes())
    with pytest.raises(UsageError, match=r"none of the 1 images has a caption.*--captions"):
        plan_parts([f"{bucket.url}/a.jpg"], 3)
    with pytest.raises(UsageError, match="must not be used offline"):
        plan_parts([f"{bucket.url}/a.jpg"], 3, captioner=True, offline=True)


@pytest.mark.parametrize("kind", ["webdataset", "parquet"])
def test_each_shard_of_a_bucket_is_a_part(records, bucket, kind):
    suffix = FORMATS[kind]
    for name in ("a", "b", "c"):
        bucket.pipe_file(f"{bucket.name}/shards/{name}{suffix}", shard_bytes(records, kind))
    bucket.pipe_file(f"{bucket.name}/shards/notes.txt", b"none")
    wanted = [record.key for record in records]
    for end in ("", "/", f"/*{suffix}", f"/{{a,b,c}}{suffix}"):
        parts = plan_parts([f"{bucket.url}/shards{end}"], 100)
        assert [part.place for part in parts] == [f"{bucket.url}/shards/{name}{suffix}" for name in ("a", "b", "c")]
        assert [item.key for item in read_part(parts[1])] == wanted
    whole = shard_bytes(records, kind)
    bucket.pipe_file(f"{bucket.name}/shards/b{suffix}", whole[: len(whole) // 3])
    again = plan_parts([f"{bucket.url}/shards"], 100)
    assert [one.identity == two.identity for one, two in zip(parts, again, strict=True)] == [True, False, True]
    *_, failure = read_part(again[1])
    assert isinstance(failure, Failure)
    assert f"shards/b{suffix} is cut off or damaged" in failure.reason
    bucket.rm_file(f"{bucket.name}/shards/c{suffix}")
    [failure] = read_part(again[2])
    assert failure.reason == f"{bucket.url}/shards/c{suffix} is not there; check the address"
    with pytest.raises(UsageError, match="must not be used offline"):
        plan_parts([f"{bucket.url}/shards"], 100, offline=True)
