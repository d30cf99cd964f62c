"""Shards: what is written is read again, by us and by WebDataset; what is cut off says where."""

import io
import json
import pickle
import tarfile

import pytest

from densevl.core.errors import ShardError, UsageError
from densevl.core.failures import Failure
from densevl.datasets.region_texts import ShardHead, read_records, shard_bytes, shard_head, shard_paths

SUFFIX = {"webdataset": ".tar", "parquet": ".parquet"}
GRIT = {
    "caption": "a dog on the grass and a cat",
    "noun_chunks": [
        [0, 5, 0.1, 0.2, 0.5, 0.6, 0.9],
        [23, 28, 0.5, 0.5, 1.2, 1.0, 0.8],
        [0, 5, 0.3, 0.3, 0.3, 0.9, 0.7],
    ],
    "ref_exps": [[0, 18, 0.1, 0.2, 0.5, 0.6, 0.9]],
    "width": 9,
    "height": 9,
}


@pytest.fixture(params=["webdataset", "parquet"])
def kind(request):
    if request.param == "parquet":
        pytest.importorskip("pyarrow")
    return request.param


def tar_of(members):
    """A tar of (name, bytes), as any tool writes it."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, data in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return file.getvalue()


def read_until_it_fails(path):
    """The keys that can be read, and the error behind them."""
    keys = []
    try:
        for record in read_records(path):
            keys.append(record.key)
    except ShardError as error:
        return keys, str(error)
    return keys, None


def test_records_come_back_as_they_were(records, kind, tmp_path):
    head = ShardHead(3, "abc", (Failure("x.jpg", 'it is "bad"\n'),))
    path = tmp_path / f"a{SUFFIX[kind]}"
    path.write_bytes(shard_bytes(records, kind, head))
    assert list(read_records(path)) == records
    assert shard_head(path) == head
    assert shard_bytes(records, kind, head) == path.read_bytes()


def test_a_record_whose_picture_is_a_file_is_stored_with_it(records, kind, tmp_path):
    from dataclasses import replace

    (tmp_path / "a.png").write_bytes(records[0].image)
    assert shard_bytes([replace(records[0], image=tmp_path / "a.png")], kind) == shard_bytes(records[:1], kind)


def test_webdataset_reads_our_shards(records, tmp_path):
    webdataset = pytest.importorskip("webdataset")
    path = tmp_path / "a.tar"
    path.write_bytes(shard_bytes(records, "webdataset"))
    samples = list(webdataset.WebDataset(str(path), shardshuffle=False))
    assert len(samples) == len(records)
    for sample, record in zip(samples, records, strict=True):
        assert json.loads(sample["json"]) == record.as_dict()
        assert (sample["txt"].decode() if "txt" in sample else None) == record.caption
        assert record.image in (sample.get(name) for name in ("png", "jpg", "webp"))


def test_a_shard_cut_off_anywhere_gives_its_whole_records_and_names_the_last(records, tmp_path):
    whole = shard_bytes(records, "webdataset")
    path = tmp_path / "a.tar"
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        ends = [member.offset_data + member.size for member in tar if member.name.endswith(".json")]
    for size in range(0, len(whole) - 10240, 256):
        path.write_bytes(whole[:size])
        keys, error = read_until_it_fails(path)
        count = sum(end <= size for end in ends)
        assert keys == [record.key for record in records[:count]]
        assert "is cut off" in error
        assert (f"{keys[-1]!r}, number {count}" if keys else "no record is whole") in error


def test_a_parquet_file_cut_off_says_so(records, tmp_path):
    pytest.importorskip("pyarrow")
    whole = shard_bytes(records, "parquet")
    path = tmp_path / "a.parquet"
    for size in (0, 3, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        keys, error = read_until_it_fails(path)
        assert keys == []
        assert "a.parquet is cut off" in error


def test_a_damaged_header_is_not_the_end(records, tmp_path):
    whole = bytearray(shard_bytes(records, "webdataset"))
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        second = next(member for member in tar if member.name.startswith("c."))
    whole[second.offset + 10] ^= 255
    (tmp_path / "a.tar").write_bytes(whole)
    keys, error = read_until_it_fails(tmp_path / "a.tar")
    assert keys == [records[0].key]
    assert "number 1 of 3" in error


def test_no_flipped_byte_makes_anything_but_a_shard_error(records, tmp_path):
    whole = shard_bytes(records, "webdataset")
    for place in range(0, 4096, 37):
        damaged = bytearray(whole)
        damaged[place] ^= 0x55
        (tmp_path / "a.tar").write_bytes(damaged)
        read_until_it_fails(tmp_path / "a.tar")


def test_grits_tars_are_read(make_picture, tmp_path):
    members = [
        ("000000001.jpg", make_picture(0, (40, 50), ".jpg")),
        ("000000001.json", json.dumps(GRIT).encode()),
        ("000000001.txt", GRIT["caption"].encode()),
        ("000000002.jpg", make_picture(1, (20, 20), ".jpg")),
        ("000000002.json", b'{"caption": "a tree", "width": 20}'),
    ]
    (tmp_path / "00000.tar").write_bytes(tar_of(members))
    first, second = read_records(tmp_path)
    assert (first.size, first.caption) == ((40, 50), GRIT["caption"])
    # One region a box, with the longer words; cut at the edge; the empty box is left out.
    assert [(item.box, item.text, item.score) for item in first.regions] == [
        (pytest.approx((5, 8, 25, 24)), "a dog on the grass", 0.9),
        (pytest.approx((25, 20, 50, 40)), "a cat", 0.8),
    ]
    assert (second.key, second.size, second.caption, second.regions) == ("000000002", (20, 20), "a tree", ())


def test_grits_parquet_files_are_read(make_picture, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    row = {**GRIT, "key": "000000001", "jpg": make_picture(0, (40, 50), ".jpg"), "url": "http://nowhere/a.jpg"}
    parquet.write_table(pyarrow.Table.from_pylist([row]), tmp_path / "a.parquet")
    (record,) = read_records(tmp_path / "a.parquet")
    assert [item.text for item in record.regions] == ["a dog on the grass", "a cat"]
    parquet.write_table(pyarrow.Table.from_pylist([{**GRIT, "url": "http://nowhere/a.jpg"}]), tmp_path / "b.parquet")
    with pytest.raises(ShardError, match=r"no images.*img2dataset"):
        list(read_records(tmp_path / "b.parquet"))


class Bomb:
    def __reduce__(self):
        return exec, ("raise SystemExit('a pickle was executed')",)


def test_no_pickle_is_executed(make_picture, tmp_path):
    bomb = pickle.dumps(Bomb())
    members = [("a.pyd", bomb), ("a.pickle", bomb), ("a.pth", bomb), ("a.png", make_picture(0)), ("a.txt", b"a dog")]
    (tmp_path / "a.tar").write_bytes(tar_of(members))
    (record,) = read_records(tmp_path / "a.tar")
    assert record.caption == "a dog"


def test_what_is_no_record_names_shard_and_key(make_picture, tmp_path):
    for members, message in (
        ([("a.txt", b"a dog")], "no image"),
        ([("a.png", make_picture(0)), ("a.json", b"{")], "'a' cannot be read"),
        ([("a.png", make_picture(0)), ("a.json", b'{"regions": [{}]}')], "no record of region texts"),
        ([("a.png", b"nothing"), ("a.txt", b"")], "no image in a known format"),
    ):
        (tmp_path / "x.tar").write_bytes(tar_of(members))
        with pytest.raises(ShardError, match=message) as raised:
            list(read_records(tmp_path / "x.tar"))
        assert "x.tar" in str(raised.value)


def test_a_foreign_tar_without_its_end_is_cut_off(make_picture, tmp_path):
    members = [(f"{i}.{kind}", data) for i in range(3) for kind, data in (("png", make_picture(i)), ("txt", b"a dog"))]
    whole = tar_of(members)
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        start = tar.getmember("2.png").offset
    (tmp_path / "a.tar").write_bytes(whole[:start])
    keys, error = read_until_it_fails(tmp_path / "a.tar")
    # Whether the second record has more files nobody can tell.
    assert keys == ["0"]
    assert "no end mark" in error


def test_shards_are_found_in_files_folders_and_globs(records, tmp_path):
    for name in ("b.tar", "a.tar", ".hidden.tar", "c.txt"):
        (tmp_path / name).write_bytes(shard_bytes(records, "webdataset"))
    assert [path.name for path in shard_paths(tmp_path)] == ["a.tar", "b.tar"]
    assert [path.name for path in shard_paths(str(tmp_path / "?.tar"))] == ["a.tar", "b.tar"]
    assert len(list(read_records([tmp_path / "a.tar", tmp_path / "b.tar"]))) == 2 * len(records)
    (tmp_path / "empty").mkdir()
    for place in (tmp_path / "empty", tmp_path / "missing.tar", tmp_path / "c.txt"):
        with pytest.raises(UsageError, match="no shard"):
            shard_paths(place)
