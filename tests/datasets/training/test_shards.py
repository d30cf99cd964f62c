"""Streams of shards: who reads what, in which order, and what happens where a shard is damaged."""

import json
import random
import tarfile
from io import BytesIO
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from densevl.core.errors import ShardError, UsageError
from densevl.datasets.region_texts import shard_bytes
from densevl.datasets.training import RegionTextShards, collate_regions
from densevl.datasets.training.shards import divided, shuffled


def keys(data: RegionTextShards, slot: int, slots: int, count: int) -> list[str]:
    return [record.key for record in islice(data.records(slot, slots), count)]


def captions(data: RegionTextShards, batches: int, workers: int = 0, batch_size: int = 3) -> list[str]:
    loader = iter(DataLoader(data, batch_size, num_workers=workers, collate_fn=collate_regions))
    return [caption for batch in islice(loader, batches) for caption in batch["caption"]]


@given(st.integers(1, 12), st.integers(1, 12))
def test_workers_divide_shards_and_records_without_rest(shards, workers):
    read = [
        (place, record)
        for slot in range(workers)
        for place, first, step in divided(shards, slot, workers)
        for record in range(first, 20, step)
    ]
    assert sorted(read) == [(place, record) for place in range(shards) for record in range(20)]


@given(st.integers(0, 60), st.integers(0, 25))
def test_shuffling_loses_and_doubles_nothing(count, size):
    mixed = list(shuffled(range(count), size, np.random.default_rng(0)))
    assert sorted(mixed) == list(range(count))
    if size < 2:
        assert mixed == list(range(count))
    # Nothing comes out before as many others as are held could have.
    assert all(place >= number - size for place, number in enumerate(mixed))


@pytest.mark.parametrize("size", [0, 1, 7, 200])
def test_no_more_is_held_than_the_buffer(size):
    taken = 0

    def source():
        nonlocal taken
        for number in range(100):
            taken += 1
            yield number

    held = [taken - place for place, _ in enumerate(shuffled(source(), size, np.random.default_rng(0)))]
    assert max(held) <= size + 1


@pytest.mark.parametrize("slots", [1, 2, 5, 7])
def test_a_pass_has_each_record_once(shards, slots):
    data = RegionTextShards(str(shards), buffer=4)
    everything = []
    for slot in range(slots):
        alone = list(data._pass(0, slot, slots))
        everything += [record.key for record in alone]
        assert sorted(keys(data, slot, slots, len(alone))) == sorted(record.key for record in alone)
    assert sorted(everything) == [f"k{number:03}" for number in range(25)]


def test_the_order_is_that_of_the_seed_and_new_in_each_pass(shards):
    data = RegionTextShards(str(shards), buffer=10)
    first = keys(data, 0, 1, 75)
    passes = [first[i : i + 25] for i in range(0, 75, 25)]
    assert all(sorted(one) == sorted(passes[0]) for one in passes)
    assert passes[0] != passes[1] != passes[2]
    assert first == keys(RegionTextShards(str(shards), buffer=10), 0, 1, 75)
    assert first != keys(RegionTextShards(str(shards), buffer=10, seed=1), 0, 1, 75)
    assert sorted(passes[0]) != passes[0]


def test_samples(shards, number_of):
    data = RegionTextShards(str(shards), side=40, buffer=0)
    for sample in islice(data, 25):
        number = int(sample["caption"].split()[1])
        assert number_of(sample) == min(number, 25)
        assert sample["texts"] == tuple(f"thing {i} of {number}" for i in range(number % 3))
        assert sample["boxes"].shape == (number % 3, 4)
    strict = RegionTextShards(str(shards), buffer=0, least=0.2)
    assert all(not any(text.startswith("thing 0") for text in s["texts"]) for s in islice(strict, 25))


@pytest.mark.parametrize(("workers", "seen"), [(0, 1), (0, 12), (1, 12), (2, 13)])
def test_a_resumed_stream_goes_on_where_it_was(shards, workers, seen):
    whole = captions(RegionTextShards(str(shards), side=8, buffer=5), seen + 4, workers)
    resumed = RegionTextShards(str(shards), side=8, buffer=5)
    resumed.skip(seen, 3)
    assert captions(resumed, 4, workers) == whole[3 * seen :]


def test_processes_see_different_records(shards, monkeypatch):
    seen = []
    for rank in range(2):
        monkeypatch.setattr("densevl.datasets.training.shards.get_dist_info", lambda rank=rank: (rank, 2))
        data = RegionTextShards(str(shards), side=8, buffer=0)
        seen.append(captions(data, 5, batch_size=2))
    assert not set(seen[0]) & set(seen[1])


@pytest.mark.parametrize("rest", [0.3, 0.7])
@pytest.mark.parametrize("workers", [0, 1])
def test_a_shard_that_is_cut_off(shards, make_record, rest, workers):
    broken = shards / "00004.tar"
    whole = broken.read_bytes()
    broken.write_bytes(whole[: int(len(whole) * rest)])
    data = RegionTextShards(str(broken), side=8, buffer=0)
    with pytest.raises(ShardError, match=r"00004.tar is cut off or damaged .* the last whole record is 'k0\d\d'"):
        captions(data, 9, workers)
    read: list[str] = []
    with pytest.raises(ShardError) as told:
        read.extend(record.key for record in data.records(0, 1))
    lenient = RegionTextShards(str(shards), side=8, buffer=0, damaged="skip")
    passed = [record.key for record in lenient._pass(0, 0, 1)]
    last = str(told.value).split("'")[1]
    assert read[-1] == last
    assert sorted(passed) == [f"k{number:03}" for number in range(25) if number < 18 or f"k{number:03}" <= last]
    assert len(lenient.left_out) == 1
    assert len(captions(lenient, 20)) == 60


def test_unusable_records_are_counted_and_the_rest_goes_on(tmp_path, make_record):
    listed = tmp_path / "failures.jsonl"
    records = [make_record(number) for number in range(6)]
    broken = [type(r)(r.key, r.image[:60] if i in (2, 4) else r.image, r.size) for i, r in enumerate(records)]
    broken[5] = type(broken[5])("k005", broken[5].image, (7, 7))
    (tmp_path / "a.tar").write_bytes(shard_bytes(broken, "webdataset"))
    data = RegionTextShards(str(tmp_path / "a.tar"), side=8, buffer=0, failures=str(listed))
    seen = [int(sample["images"].max()) // 10 for sample in islice(data, 6)]
    assert seen == [0, 1, 3, 0, 1, 3]
    assert [json.loads(line)["name"] for line in listed.read_text().splitlines()] == [
        "record k002",
        "record k004",
        "record k005",
    ]


def test_no_usable_record_is_an_error_and_no_endless_loop(tmp_path, make_record):
    record = make_record(0)
    broken = [type(record)("bad", record.image[:60], record.size)]
    (tmp_path / "a.tar").write_bytes(shard_bytes(broken, "webdataset"))
    with pytest.raises(UsageError, match="100 records in a row could not be used, the last one bad"):
        next(iter(RegionTextShards(str(tmp_path / "a.tar"))))
    tarfile.open(tmp_path / "a.tar", "w").close()
    with pytest.raises(UsageError, match="worker 0 of 1 finds no record"):
        next(iter(RegionTextShards(str(tmp_path / "a.tar"))))


def test_grit(tmp_path, draw):
    """A tar as img2dataset writes GRIT-20M: boxes are shares of the picture, words are places in the caption."""
    entries = {}
    for number in range(4):
        picture = BytesIO()
        draw(number).save(picture, "JPEG")
        chunk, longer = [2, 5, 0.1, 0.25, 0.6, 0.75, 0.9], [2, 14, 0.0, 0.0, 0.5, 1.0, 0.7]
        told = {"key": f"{number:09}", "caption": "A cat on a mat", "noun_chunks": [chunk], "ref_exps": [longer]}
        entries |= {f"{number:09}.jpg": picture.getvalue(), f"{number:09}.txt": b"A cat on a mat"}
        entries[f"{number:09}.json"] = json.dumps({**told, "width": 1, "height": 1, "status": "success"}).encode()
    entries["000000002.jpg"] = b""
    with tarfile.open(tmp_path / "00000.tar", "w") as tar:
        for name, data in entries.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, BytesIO(data))
    data = RegionTextShards(str(tmp_path), side=40, buffer=0)
    samples = list(islice(data, 6))
    assert [int(s["images"].max()) // 10 for s in samples] == [0, 1, 3] * 2
    assert len(data.left_out) == 1
    by_text = dict(zip(samples[0]["texts"], samples[0]["boxes"], strict=True))
    height = 30 / 40
    torch.testing.assert_close(by_text["cat"], torch.tensor([0.1, 0.25 * height, 0.6, 0.75 * height]))
    torch.testing.assert_close(by_text["cat on a mat"], torch.tensor([0, 0, 0.5, height]))
    assert samples[0]["caption"] == "A cat on a mat"


def test_parquet(tmp_path, make_record):
    pytest.importorskip("pyarrow")
    (tmp_path / "a.parquet").write_bytes(shard_bytes([make_record(number) for number in range(9)], "parquet"))
    read = captions(RegionTextShards(str(tmp_path), side=8, buffer=4), 3)
    assert sorted(read) == [f"picture {number}" for number in range(9)]


def test_arguments(shards):
    for wrong, message in (
        ({"damaged": "ignore"}, "damaged must be one of stop, skip; got 'ignore'"),
        ({"buffer": -1}, "buffer must be"),
        ({"side": 0}, "side must be"),
        ({"templates": "x"}, "templates 'x' are unknown"),
        ({"shards": str(shards / "none")}, "no shard"),
    ):
        with pytest.raises(UsageError, match=message):
            RegionTextShards(**{"shards": str(shards), **wrong})
    paths = [str(shards / f"{number:05}.tar") for number in range(5)]
    random.Random(0).shuffle(paths)
    assert sorted(RegionTextShards(paths).files) == sorted(RegionTextShards(str(shards)).files)
