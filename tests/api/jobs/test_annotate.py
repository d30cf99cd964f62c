"""Labelling jobs: resumed, refused with other settings, complete where inputs are bad."""

import json

import cv2
import numpy as np
import pytest

from densevl.api.jobs.annotate import LabelRegionsJob
from densevl.core.errors import UsageError
from densevl.datasets.region_texts import read_records, shard_head
from densevl.tasks.annotation.captions import Captions
from densevl.tasks.annotation.settings import LabelSettings


@pytest.fixture(scope="module")
def settings(tiny_owlv2):
    return LabelSettings({"type": "owlv2", "weights": str(tiny_owlv2[0])}, threshold=0.3, batch=2, offline=True)


@pytest.fixture
def pictures(tmp_path):
    """Five small pictures and their captions."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(5):
        pixels = np.random.default_rng(i).integers(0, 256, (40, 40 + 4 * i, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"img{i}.png"), pixels)
        (folder / f"img{i}.txt").write_text("a red dog and a tree")
    return folder


def sizes(run):
    """Records made, shards made, shards done before."""
    return sum(outcome.records for _, outcome in run.done), len(run.done), len(run.skipped)


def contents(out):
    return {path.name: path.read_bytes() for path in out.iterdir()}


def test_a_job_makes_shards_with_every_picture(pictures, settings, tmp_path):
    out = tmp_path / "out"
    run = LabelRegionsJob([pictures], out, settings, shard_size=2).run()
    assert (*sizes(run), run.failures) == (5, 3, 0, [])
    records = list(read_records(out))
    assert [record.key for record in records] == [f"img{i}" for i in range(5)]
    assert sum(len(record.regions) for record in records) == sum(outcome.regions for _, outcome in run.done) > 10
    assert sorted(path.name for path in out.iterdir()) == ["labelling.json", *(f"shard-{i:06}.tar" for i in range(3))]


def test_parquet_has_the_same_records(pictures, settings, tmp_path):
    pytest.importorskip("pyarrow")
    LabelRegionsJob([pictures], tmp_path / "a", settings, shard_size=2).run()
    LabelRegionsJob([pictures], tmp_path / "b", settings, kind="parquet", shard_size=2).run()
    assert list(read_records(tmp_path / "a")) == list(read_records(tmp_path / "b"))


def test_a_job_goes_on_where_it_was(pictures, settings, tmp_path):
    out = tmp_path / "out"
    LabelRegionsJob([pictures], out, settings, shard_size=2).run()
    before = contents(out)
    # One shard was cut off by a full disk, one never written.
    (out / "shard-000001.tar").write_bytes(before["shard-000001.tar"][:700])
    (out / "shard-000002.tar").unlink()
    stamp = (out / "shard-000000.tar").stat().st_mtime_ns
    run = LabelRegionsJob([pictures], out, settings, shard_size=2).run()
    assert sizes(run) == (3, 2, 1)
    assert contents(out) == before
    assert (out / "shard-000000.tar").stat().st_mtime_ns == stamp


def test_a_bad_picture_is_listed_until_it_is_mended(pictures, settings, tmp_path):
    out = tmp_path / "out"
    good = (pictures / "img3.png").read_bytes()
    (pictures / "img3.png").write_bytes(good[:100])
    (pictures / "img1.txt").unlink()
    for skipped in (0, 3):
        run = LabelRegionsJob([pictures], out, settings, shard_size=2).run()
        assert len(run.skipped) == skipped
        failures = [json.loads(line) for line in (out / "failures.jsonl").read_text().splitlines()]
        assert [line["name"] for line in failures] == [str(pictures / "img1.png"), str(pictures / "img3.png")]
        assert "no caption" in failures[0]["reason"]
        assert [failure.reason for failure in run.failures] == [line["reason"] for line in failures]
    assert [record.key for record in read_records(out)] == ["img0", "img2", "img4"]
    (pictures / "img3.png").write_bytes(good)
    run = LabelRegionsJob([pictures], out, settings, shard_size=2).run()
    assert (*sizes(run), len(run.failures)) == (2, 1, 2, 1)


def test_other_settings_over_old_shards_are_refused(pictures, settings, tmp_path, tiny_owlv2):
    out = tmp_path / "out"
    LabelRegionsJob([pictures], out, settings, shard_size=2).run()
    before = contents(out)
    other = LabelSettings({"type": "owlv2", "weights": str(tiny_owlv2[0])}, threshold=0.4, offline=True)
    with pytest.raises(UsageError, match=r"threshold 0\.3 there, 0\.4 here.*--overwrite"):
        LabelRegionsJob([pictures], out, other, shard_size=2)
    with pytest.raises(UsageError, match="shard_size 2 there, 5 here"):
        LabelRegionsJob([pictures], out, settings, shard_size=5)
    with pytest.raises(UsageError, match="format"):
        LabelRegionsJob([pictures], out, settings, shard_size=2, kind="parquet")
    assert contents(out) == before
    run = LabelRegionsJob([pictures], out, settings, shard_size=5, overwrite=True).run()
    assert sizes(run) == (5, 1, 0)
    assert [path.name for path in sorted(out.glob("*.tar"))] == ["shard-000000.tar"]


def test_shards_of_unknown_origin_are_not_touched(pictures, settings, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "shard-000000.tar").write_bytes(b"somebody's")
    with pytest.raises(UsageError, match=r"no labelling\.json"):
        LabelRegionsJob([pictures], out, settings)
    assert (out / "shard-000000.tar").read_bytes() == b"somebody's"


def test_shards_are_labelled_again(pictures, settings, tmp_path):
    LabelRegionsJob([pictures], tmp_path / "a", settings, shard_size=2).run()
    run = LabelRegionsJob([tmp_path / "a"], tmp_path / "b", settings).run()
    assert sizes(run)[:2] == (5, 3)
    assert list(read_records(tmp_path / "b")) == list(read_records(tmp_path / "a"))
    # A shard that is cut off gives its whole records and is listed.
    path = tmp_path / "a" / "shard-000000.tar"
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(b"img1.json")])
    run = LabelRegionsJob([tmp_path / "a"], tmp_path / "b", settings).run()
    assert sizes(run) == (1, 1, 2)
    assert "the last whole record is 'img0', number 1 of 2" in run.failures[0].reason
    assert shard_head(tmp_path / "b" / "shard-000000.tar").failures == tuple(run.failures)


def test_given_captions_are_part_of_the_inputs(pictures, settings, tmp_path):
    out = tmp_path / "out"
    captions = Captions({f"img{i}": ("two cats",) for i in range(5)})
    LabelRegionsJob([pictures], out, settings, captions, shard_size=2).run()
    assert {record.caption for record in read_records(out)} == {"two cats"}
    changed = Captions({**captions.by_name, "img4": ("a house",)})
    run = LabelRegionsJob([pictures], out, settings, changed, shard_size=2).run()
    assert sizes(run) == (1, 1, 2)


def test_what_cannot_be_used_is_refused(pictures, settings, tmp_path):
    with pytest.raises(UsageError, match="did you mean webdataset"):
        LabelRegionsJob([pictures], tmp_path / "out", settings, kind="webdatasets")
    with pytest.raises(UsageError, match="at least 1"):
        LabelRegionsJob([pictures], tmp_path / "out", settings, shard_size=0)
    assert not (tmp_path / "out").exists()
