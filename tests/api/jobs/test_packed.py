"""Results as tars: the same as those in files, whole or not there, whoever works on them and however often."""

import json
import pickle
import shutil
import tarfile
from pathlib import Path

import pytest
from PIL import Image

import densevl
from densevl.api.jobs.merge import merge
from densevl.api.jobs.packed import SCRATCH, PackedJob, PackRecipe
from densevl.api.jobs.packs import pack_paths, plan_packs, read_head, read_results, write_pack
from densevl.api.jobs.segment import SegmentJob
from densevl.api.jobs.shards import Shard
from densevl.api.loading import Loading
from densevl.core.engine import Engine, Pipeline
from densevl.core.errors import UsageError
from densevl.core.failures import FailureList
from densevl.core.inputs import find_inputs
from densevl.datasets.region_texts.shard import ShardHead
from densevl.datasets.scenes import render

WORDS = "grass, sand, water"
NAME = {"name": "mini-maskclip", "arguments": {"short_side": 32}}


@pytest.fixture(scope="module")
def model():
    return densevl.load("mini-maskclip", short_side=32)


def draw(folder):
    """Five scenes, one of them with dots and a per cent sign in its name, and one file that is no image."""
    for number, name in enumerate(["a.png", "b.png", "c.v1%2E.png", "day1/d.png", "day1/e.png"]):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(render(3, number, size=(32, 40)).image).save(path)
    (folder / "bad.png").write_text("no image")
    return folder


@pytest.fixture
def photos(tmp_path):
    return draw(tmp_path / "photos")


@pytest.fixture(scope="module")
def made(run, tmp_path_factory):
    """The folder of the photos, that of their results in tars, that of their results in files, and the first run."""
    folder = tmp_path_factory.mktemp("made")
    photos = draw(folder / "photos")
    packed = run(photos, folder / "packed")
    run(photos, folder / "files", pack=None)
    return photos, folder / "packed", folder / "files", packed


@pytest.fixture(scope="module")
def run(model):
    def segment(photos, out, pack=2, shard=None, classes=WORDS, **settings):
        job = SegmentJob(model, classes, out, pack=pack, **settings)
        inputs = find_inputs([photos], out)
        return job.run(inputs) if pack is None else PackedJob(job, pack).run(inputs, shard)

    return segment


def contents(folder):
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def members(path):
    with tarfile.open(path) as archive:
        return archive.getmembers()


def test_tars_have_the_files_of_a_folder(made):
    _, packed, files, done = made
    assert sum(said.images for _, said in done.done) == 5
    assert [Path(failure.name).name for failure in done.failures] == ["bad.png"]
    tars = ["results-000000.tar", "results-000001.tar", "results-000002.tar"]
    assert list(contents(packed)) == ["annotations.json", "failures.jsonl", "job.json", *tars]
    for name in ("annotations.json", "failures.jsonl"):
        assert (packed / name).read_bytes() == (files / name).read_bytes()
    ends = ("overlay.png", "labels.png", "coco.json", "record.json")
    assert [member.name for member in members(packed / tars[1])] == [f"c%2Ev1%252E.{end}" for end in ends]
    assert {(member.mtime, member.uid, member.uname) for member in members(packed / tars[0])} == {(0, 0, "")}


def test_they_are_unpacked_into_the_folder_that_files_make(made, run, tmp_path):
    photos, packed, files, _ = made
    merged = merge([packed], tmp_path / "unpacked")
    assert (merged.images, len(merged.failures)) == (5, 1)
    assert contents(tmp_path / "unpacked") == contents(files)
    assert run(photos, tmp_path / "unpacked", pack=None).done == []


def test_webdataset_reads_them(made):
    webdataset = pytest.importorskip("webdataset")
    samples = list(webdataset.WebDataset([str(path) for path in pack_paths(made[1])], shardshuffle=False))
    assert [sample["__key__"] for sample in samples] == ["a", "b", "c%2Ev1%252E", "day1/d", "day1/e"]
    for sample in samples:
        kinds = sorted(name for name in sample if not name.startswith("__"))
        assert kinds == ["coco.json", "labels.png", "overlay.png", "record.json"]
        assert json.loads(sample["record.json"])["classes"]


@pytest.mark.slow
def test_processes_write_the_same_bytes(made, run, tmp_path):
    photos, packed, *_ = made
    run(photos, tmp_path / "two", engine=Engine(workers=2, threads=1), loading=Loading(**NAME))
    assert contents(tmp_path / "two") == contents(packed)


def test_the_worker_of_another_process_writes_the_same_bytes(made, model, monkeypatch, tmp_path):
    photos, packed, *_ = made
    job = SegmentJob(model, WORDS, tmp_path / "out", pack=2, loading=Loading(**NAME))
    monkeypatch.setattr(Loading, "load", lambda self: model)
    recipe = pickle.loads(pickle.dumps(PackRecipe(job.recipe)))
    pack = pickle.loads(pickle.dumps(plan_packs(find_inputs([photos]), 2)[0]))
    [outcome] = Pipeline().run(recipe(), [pack])
    assert outcome.said.images == 2
    assert (tmp_path / "out" / pack.place).read_bytes() == (packed / pack.place).read_bytes()


def test_shards_of_a_job_are_joined(made, run, tmp_path):
    photos, packed, *_ = made
    for number in (1, 2):
        run(photos, tmp_path / "two", shard=Shard(number, 2))
        merged = merge([tmp_path / "two"])
        assert bool(merged.missing) == (number == 1)
    found = contents(tmp_path / "two")
    assert {name: found[name] for name in found if not name.startswith("shard-")} == contents(packed)


def test_a_run_goes_on_where_it_was_stopped(made, run, tmp_path):
    photos, packed, *_ = made
    out = shutil.copytree(packed, tmp_path / "out")
    before = contents(out)
    again = run(photos, out)
    assert (len(again.done), len(again.skipped), len(again.failures)) == (0, 3, 1)
    (out / "results-000001.tar").unlink()
    (out / "results-000002.tar").write_bytes(before["results-000002.tar"][:100])
    (out / f"{SCRATCH}dead").mkdir()
    (out / f"{SCRATCH}dead.lock").touch()
    again = run(photos, out)
    assert [pack.index for pack, _ in again.done] == [1, 2]
    assert contents(out) == before


def test_what_changed_is_done_again(run, photos, tmp_path):
    out = tmp_path / "out"
    run(photos, out)
    Image.fromarray(render(3, 9, size=(32, 40)).image).save(photos / "bad.png")
    again = run(photos, out)
    assert [pack.index for pack, _ in again.done] == [1]
    assert not again.failures
    assert not FailureList(out).read()
    Image.fromarray(render(3, 8, size=(32, 40)).image).save(photos / "z.png")
    assert [pack.index for pack, _ in run(photos, out).done] == [3], "new ones come behind"
    assert [pack.index for pack, _ in run(photos, out, save=["polygons"]).done] == [0, 1, 2, 3], "another format"
    assert (out / "polygons.json").exists()


def test_other_inputs_sizes_and_forms_are_refused(run, photos, tmp_path):
    out = tmp_path / "out"
    run(photos, out)
    (photos / "a.png").rename(photos / "0.png")
    with pytest.raises(UsageError, match=r"results-000000\.tar has the results of other inputs"):
        run(photos, out)
    with pytest.raises(UsageError, match=r"has its results in tars of 2 each \(--pack\)"):
        run(photos, out, pack=3)
    with pytest.raises(UsageError, match="in tars of 2 each"):
        run(photos, out, pack=None)
    with pytest.raises(UsageError, match="--save html shows files"):
        run(photos, tmp_path / "page", save=["html"])
    with pytest.raises(UsageError, match="are packed; unpack them into another folder"):
        merge([out], save=["polygons"])
    assert len(run(photos, out, overwrite=True).done) == 3
    run(photos, out, classes="grass, brick", pack=None, overwrite=True)
    assert pack_paths(out) == []
    with pytest.raises(UsageError, match="has its results in files"):
        run(photos, out, classes="grass, brick")


def test_names_in_folders_of_formats_are_keys(tmp_path):
    for name in ("a.labels.png", "labelme/a.json", "b/a.x.labels.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text(name)
    files = [("a", ["a.labels.png", "labelme/a.json"]), ("b/a.x", ["b/a.x.labels.png"])]
    named = [(name, [tmp_path / "in" / file for file in found]) for name, found in files]
    write_pack(tmp_path / "results-000000.tar", tmp_path / "in", named, ShardHead(2, "x"))
    names = [member.name for member in members(tmp_path / "results-000000.tar")]
    assert names == ["a.labels.png", "labelme/a.json", "b/a%2Ex.labels.png"]
    assert read_head(tmp_path / "results-000000.tar") == ShardHead(2, "x")
    assert read_head(tmp_path / "none.tar") is None


def test_a_damaged_tar_is_said(made, tmp_path):
    path = tmp_path / "results-000000.tar"
    path.write_bytes((made[1] / path.name).read_bytes()[:9000])
    with pytest.raises(UsageError, match=r"results-000000\.tar cannot be read .*; delete the file, and run"):
        list(read_results(path))


def test_inputs_are_divided_in_their_order(photos):
    packs = plan_packs(find_inputs([photos]), 4)
    assert [len(pack.inputs) for pack in packs] == [4, 2]
    assert [pack.place for pack in packs] == ["results-000000.tar", "results-000001.tar"]
