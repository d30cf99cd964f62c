"""``densevl embed`` end to end, with the shipped mini models."""

import json
import os
import shutil
import tarfile
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from toys.photos import write_photos
from toys.sent import SentEngine

from densevl.api.jobs import embed as embed_job
from densevl.api.jobs.embed import EmbedJob
from densevl.api.jobs.search import SearchJob
from densevl.api.loading import Loading, load
from densevl.benchmarks.speed import files
from densevl.cli import main
from densevl.core.engine import Engine
from densevl.core.errors import UsageError
from densevl.core.files import expand_inputs, file_state
from densevl.core.inputs import find_inputs
from densevl.datasets.scenes import render
from densevl.tasks.search import IndexedImage, Part, RegionIndex
from densevl.tasks.search.files import open_part, part_files
from densevl.tasks.search.safetensors_part import write_safetensors
from densevl.tasks.search.stores import store_of

MINI = ["--model", "mini-maskclip", "--offline"]


@pytest.fixture(scope="module")
def scenes():
    return [render(3, index, size=(64, 80), count=(2, 3)) for index in range(3)]


@pytest.fixture(scope="module")
def mini_maskclip():
    return load("mini-maskclip", device="cpu", lazy=True)


@pytest.fixture
def photos(tmp_path, scenes):
    """Three scenes, one of them in a folder below, and a COCO data set of their objects."""
    return write_photos(tmp_path, scenes)


def embed(photos, *arguments, model="mini-maskclip"):
    out = ["--out", photos.parent / "index"] if "--out" not in arguments else []
    return main(["embed", str(photos), "--model", model, "--offline", *map(str, [*out, *arguments])])


def test_boxes_of_a_coco_file(photos, scenes, capsys):
    assert embed(photos, "--boxes", photos.parent / "boxes.json", "--batch", 2) == 0
    count = sum(len(scene.objects) for scene in scenes)
    assert f"3 embedded with {count} regions, 0 done before, 0 failed" in capsys.readouterr().out
    index = RegionIndex.open(photos.parent / "index")
    assert [os.path.relpath(path, photos) for path in index.images] == ["a.png", "day1/b.png", "day1/c.png"]
    boxes = [index.hit(row, 0.0).box for row in range(len(index))]
    assert boxes == [tuple(map(float, item.box)) for scene in scenes for item in scene.objects]
    torch.testing.assert_close(index.vectors.norm(dim=1), torch.ones(count))
    assert index.model["name"] == "mini-maskclip"


def test_running_again_does_what_is_new_or_has_changed(photos, scenes, capsys):
    options = ["--regions", "whole"]
    assert embed(photos, *options) == 0
    before = RegionIndex.open(photos.parent / "index").vectors
    assert embed(photos, *options) == 0
    assert "0 embedded with 0 regions, 3 done before" in capsys.readouterr().out
    Image.fromarray(scenes[0].image[::-1]).save(photos / "day1" / "b.png")
    Image.fromarray(scenes[0].image).save(photos / "new.png")
    assert embed(photos, *options) == 0
    assert "2 embedded with 2 regions, 2 done before" in capsys.readouterr().out
    index = RegionIndex.open(photos.parent / "index")
    assert len(part_files(photos.parent / "index")) == 2
    assert len(index) == 4
    rows = {index.hit(row, 0.0).image.path: row for row in index.live.nonzero().flatten().tolist()}
    vectors = dict(zip(sorted(rows, key=rows.get), index.vectors, strict=True))
    torch.testing.assert_close(vectors[str(photos / "a.png")], before[0])
    torch.testing.assert_close(vectors[str(photos / "new.png")], before[0])
    assert not torch.allclose(vectors[str(photos / "day1" / "b.png")], before[1])
    assert embed(photos, "--regions", "grid") == 0
    assert "4 embedded" in capsys.readouterr().out, "other regions are embedded anew"
    assert len(RegionIndex.open(photos.parent / "index")) == 4 * 59
    assert embed(photos, *options, "--overwrite") == 0
    assert len(part_files(photos.parent / "index")) == 1


def test_every_setting_of_the_model_decides_what_is_done(photos, capsys):
    runs = [
        ([], 3),
        (["--set", "short_side=64"], 3),
        (["--set", "short_side=64"], 0),
        (["--set", "short_side=64", "--dtype", "bfloat16"], 3),
        (["--set", "short_side=64", "--dtype", "bfloat16", "--no-masks"], 3),
    ]
    for arguments, done in runs:
        assert embed(photos, "--regions", "whole", *arguments) == 0
        assert f"{done} embedded" in capsys.readouterr().out, arguments
    index = RegionIndex.open(photos.parent / "index")
    assert index.model["changes"] == {"short_side": 64}
    assert index.model["dtype"] == "bfloat16"


def test_a_folder_that_cannot_be_written_is_said(photos, capsys):
    (photos.parent / "file").write_text("")
    assert embed(photos, "--regions", "whole", "--out", photos.parent / "file") == 1
    assert "cannot write" in capsys.readouterr().err


def test_a_run_that_is_killed_goes_on(photos, monkeypatch, capsys):
    """The first run dies in its second batch, the second run does the rest; the index is that of one run."""
    from densevl.api.jobs import embed as embed_job
    from densevl.api.model import Model

    whole = photos.parent / "whole"
    assert embed(photos, "--regions", "grid", "--out", whole) == 0
    monkeypatch.setattr(embed_job, "PART_SECONDS", -1.0)
    real, calls = Model.embed_regions, []

    def killed(self, pictures, regions):
        calls.append(len(pictures))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(self, pictures, regions)

    monkeypatch.setattr(Model, "embed_regions", killed)
    assert embed(photos, "--regions", "grid", "--batch", 1) == 130
    assert len(RegionIndex.open(photos.parent / "index").images) == 1
    assert embed(photos, "--regions", "grid", "--batch", 1) == 0
    assert "2 embedded with 118 regions, 1 done before" in capsys.readouterr().out
    parts, one = RegionIndex.open(photos.parent / "index"), RegionIndex.open(whole)
    assert parts.images == one.images
    torch.testing.assert_close(parts.vectors, one.vectors)


def test_a_bad_file_does_not_stop_a_run(photos, capsys):
    (photos / "broken.png").write_bytes((photos / "a.png").read_bytes()[:200])
    assert embed(photos, "--boxes", photos.parent / "boxes.json") == 1
    printed = capsys.readouterr()
    assert "3 embedded" in printed.out
    assert "broken.png" in printed.err
    (line,) = (photos.parent / "index" / "failures.jsonl").read_text().splitlines()
    assert json.loads(line)["name"].endswith("broken.png")
    Image.new("RGB", (30, 20)).save(photos / "broken.png")
    assert embed(photos, "--boxes", photos.parent / "boxes.json") == 1, "the file has no boxes of it"
    assert "none is called 'broken.png'" in capsys.readouterr().err
    assert len(RegionIndex.open(photos.parent / "index").images) == 3


def test_an_image_without_regions_is_done(photos, scenes):
    boxes = json.loads((photos.parent / "boxes.json").read_text())
    boxes["annotations"] = [record for record in boxes["annotations"] if record["image_id"] == 1]
    (photos.parent / "boxes.json").write_text(json.dumps(boxes))
    assert embed(photos, "--boxes", photos.parent / "boxes.json", "--format", "parquet", model="mini") == 0
    index = RegionIndex.open(photos.parent / "index")
    assert len(index.images) == 3
    assert len(index) == len(scenes[1].objects)


def test_batches_give_what_single_images_give(photos):
    boxes = ["--boxes", photos.parent / "boxes.json"]
    for batch in (1, 3):
        assert embed(photos, *boxes, "--batch", batch, "--out", photos.parent / f"by{batch}", model="mini") == 0
    one, three = (RegionIndex.open(photos.parent / f"by{batch}") for batch in (1, 3))
    torch.testing.assert_close(three.vectors, one.vectors, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--regions", "evrything"], "did you mean everything"),
        (["--regions", "everything"], "has no mask maker"),
        (["--boxes", "{folder}/none.json"], "none.json"),
        (["--format", "pickle"], "there are safetensors, parquet"),
        (["--model", "minni"], "did you mean mini"),
        (["--embedder", "mask-poling"], "did you mean mask-pooling"),
        (["--mask-maker", "sam-vit-x"], "sam-vit-x"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(photos, capsys, arguments, message):
    assert embed(photos, *[text.format(folder=photos.parent) for text in arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("densevl: error: ")
    assert error.count("\n") == 1
    assert message in error
    assert not (photos.parent / "index").exists()


def test_an_index_of_another_model_is_left_alone(photos, capsys):
    assert embed(photos, "--regions", "whole") == 0
    assert embed(photos, "--regions", "whole", model="mini") == 2
    error = capsys.readouterr().err
    assert "was made by 'mini-clip@" in error
    assert "+prompter@" in error
    assert embed(photos, "--regions", "whole", "--overwrite", model="mini") == 0


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ([90, 10, 10, 10], "outside"),
        ([10, 10, 0, 5], "is empty"),
        ([10, 10, -5, 5], "outside|reversed|empty"),
        ([float("nan"), 10, 5, 5], "not finite"),
    ],
)
def test_boxes_that_cannot_be_used_are_failures_of_their_image(photos, capsys, box, message):
    boxes = json.loads((photos.parent / "boxes.json").read_text())
    boxes["annotations"].append({"image_id": 2, "bbox": box})
    (photos.parent / "boxes.json").write_text(json.dumps(boxes))
    assert embed(photos, "--boxes", photos.parent / "boxes.json") == 1
    printed = capsys.readouterr()
    assert "2 embedded" in printed.out
    import re

    assert re.search(message, printed.err)


@pytest.fixture
def embedded(mini_maskclip):
    """Embeds a folder of images into an index; gives how many were embedded and how many were done before."""

    def made(photos, out, **settings):
        settings = {"regions": "whole", "batch": 1, **settings}
        run = EmbedJob(mini_maskclip, out, **settings).run(expand_inputs([photos]))
        return len(run.done), len(run.skipped)

    return made


@pytest.mark.parametrize("form", ["safetensors", "parquet"])
def test_two_runs_in_two_places_write_the_same_bytes(photos, embedded, monkeypatch, form):
    """Times of change, the place and the pace of writing are no part of an index."""
    files = {}
    for name, seconds in (("first", 60.0), ("second", -1.0)):
        monkeypatch.setattr(embed_job, "PART_SECONDS", seconds)
        place = photos.parent / name
        shutil.copytree(photos, place / "photos")
        os.utime(place / "photos" / "a.png", (len(files), 1))
        assert embedded(place / "photos", place / "index", form=form) == (3, 0)
        files[name] = {path.name: path.read_bytes() for path in part_files(place / "index")}
    assert list(files["first"]) == [f"part-00000.{form}"]
    assert files["first"] == files["second"]
    assert str(photos.parent).encode() not in files["first"][f"part-00000.{form}"]


@pytest.mark.parametrize("regions", [pytest.param("everything", marks=pytest.mark.slow), "boxes.json"])
def test_other_processes_get_all_they_need(photos, regions):
    """The index, what is remembered of files and the kinds of images are those of one process, to the last byte."""
    mini, found = load("mini", device="cpu", lazy=True), {}
    loading = Loading("mini", {"device": "cpu", "lazy": True})
    for name, placed in (("here", {}), ("sent", {"engine": SentEngine(), "loading": loading})):
        source = regions if regions == "everything" else photos.parent / regions
        run = EmbedJob(mini, photos.parent / name, source, batch=2, **placed).run(expand_inputs([photos]))
        assert len(run.done) == 3
        found[name] = {path.name: path.read_bytes() for path in (photos.parent / name).iterdir()}
    assert {"familiarity.json", "part-00000.safetensors", "state.json"} <= set(found["here"])
    assert found["here"] == found["sent"]


def test_kinds_that_were_not_told_are_told_by_the_engine(photos):
    mini, index = load("mini", device="cpu", lazy=True), photos.parent / "index"
    placed = {"engine": SentEngine(), "loading": Loading("mini", {"device": "cpu", "lazy": True})}
    assert len(EmbedJob(mini, index, "whole").run(expand_inputs([photos])).done) == 3
    before = json.loads((index / "familiarity.json").read_text())
    (index / "familiarity.json").unlink()
    run = EmbedJob(mini, index, "whole", **placed).run(expand_inputs([photos]))
    assert (len(run.done), len(run.skipped)) == (0, 3)
    after = json.loads((index / "familiarity.json").read_text())
    assert after.keys() == before.keys()
    assert {path: one["unknown"] for path, one in after["images"].items()} == {
        path: one["unknown"] for path, one in before["images"].items()
    }


def test_large_shards_end_where_they_are_full(photos, embedded, monkeypatch):
    monkeypatch.setattr(embed_job, "PART_REGIONS", 2)
    assert embedded(photos, photos.parent / "index") == (3, 0)
    assert [len(open_part(file)) for file in part_files(photos.parent / "index")] == [2, 1]


def test_an_index_that_was_moved_with_its_images_goes_on(photos, mini_maskclip, embedded, tmp_path):
    assert embedded(photos, tmp_path / "index") == (3, 0)
    moved, index = tmp_path / "elsewhere" / "photos", tmp_path / "elsewhere" / "index"
    shutil.copytree(photos, moved)
    for path in moved.rglob("*.png"):  # a copy: the times are those of now
        os.utime(path)
    (tmp_path / "index").rename(index)
    shutil.rmtree(photos)
    opened = RegionIndex.open(index)
    assert list(opened.images) == [str(moved / name) for name in ("a.png", "day1/b.png", "day1/c.png")]
    job = SearchJob(opened, mini_maskclip)
    _, missing = job.sheet("ring", job.by_text(["ring"])[0])
    assert missing == []
    (index / "state.json").unlink()
    for _ in range(2):
        assert embedded(moved, index) == (0, 3)
    content = (moved / "a.png").read_bytes()
    for changed in ((moved / "day1" / "b.png").read_bytes(), content):
        (moved / "a.png").write_bytes(changed)
        assert embedded(moved, index) == (1, 2)


def test_an_index_of_the_earlier_layout_is_read_and_added_to(photos, scenes, embedded):
    """It has absolute paths and times of change."""
    index = photos.parent / "index"
    assert embedded(photos, index) == (3, 0)
    (file,) = part_files(index)
    part = open_part(file)
    earlier = [IndexedImage(image.path, image.size, file_state(Path(image.path))) for image in part.images]
    write_safetensors(replace(part, images=tuple(earlier)), file)
    (index / "state.json").unlink()
    assert str(photos).encode() in file.read_bytes()
    assert embedded(photos, index) == (0, 3)
    Image.fromarray(scenes[1].image).save(photos / "a.png")
    assert embedded(photos, index) == (1, 2)
    assert len(RegionIndex.open(index)) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"regions": 3}, "regions are one of auto, everything, grid, whole, or a JSON file of boxes; got 3"),
        ({"regions": ["grid"]}, "got \\['grid'\\]"),
        ({"batch": 0}, "batch is the number of images .* got 0"),
    ],
)
def test_arguments_of_another_type_are_named(mini_maskclip, tmp_path, arguments, message):
    with pytest.raises(UsageError, match=message):
        EmbedJob(mini_maskclip, tmp_path / "index", **arguments)


def test_an_archive_is_embedded_resumed_and_shown(photos, mini_maskclip, capsys):
    with tarfile.open(photos.parent / "all.tar", "w") as archive:
        archive.add(photos, ".")
    archive_path, index = photos.parent / "all.tar", photos.parent / "index"
    for counts in ("3 embedded with 3 regions, 0 done before", "0 embedded with 0 regions, 3 done before"):
        assert main(["embed", *map(str, [archive_path, "--out", index, "--regions", "whole", *MINI])]) == 0
        assert counts in capsys.readouterr().out
    opened = RegionIndex.open(index)
    assert set(opened.images) == {f"{archive_path}/{name}" for name in ("a.png", "day1/b.png", "day1/c.png")}
    job = SearchJob(opened, mini_maskclip)
    hits = job.by_text(["a shape"], top=3)[0]
    assert job.sheet("a shape", hits)[1] == []
    archive_path.unlink()
    assert len(job.sheet("a shape", hits)[1]) == 3


def test_vectors_are_kept_as_the_option_says_and_later_runs_go_on_so(photos, scenes, capsys):
    assert embed(photos, "--regions", "whole", "--store", "int8") == 0
    Image.fromarray(scenes[0].image).save(photos / "new.png")
    assert embed(photos, "--regions", "whole") == 0
    index = RegionIndex.open(photos.parent / "index")
    assert [store_of(part.vectors) for part in index.parts] == ["int8", "int8"]
    assert embed(photos, "--regions", "whole", "--store", "int4") == 2
    assert "store 'int4' is unknown" in capsys.readouterr().err


def test_what_waits_for_its_shard_is_joined_and_gives_the_same_shard(monkeypatch, tmp_path):
    draw = torch.Generator().manual_seed(0)

    def one(number):
        count = number % 3
        vectors = torch.nn.functional.normalize(torch.randn(count, 4, generator=draw), dim=1)
        image, rows = (
            IndexedImage(f"/photos/{number}.png", (40, 50), (number, 7)),
            torch.zeros(count, dtype=torch.int64),
        )
        masks = None if number % 4 else ("",) * count
        return Part((image,), rows, torch.rand(count, 4, generator=draw), torch.rand(count), vectors, "m@1", {}, masks)

    parts = [one(number) for number in range(23)]
    monkeypatch.setattr(embed_job, "TOGETHER", 5)
    pending = embed_job.Pending(tmp_path)
    for part in parts:
        pending.add(part)
    assert (pending.images, pending.regions) == (23, sum(map(len, parts)))
    assert len(pending._single) == 3
    joined, at_once = pending.merged(), RegionIndex(tuple(parts)).merged()
    assert list(joined.images) == list(at_once.images)
    assert joined.masks == at_once.masks
    for name in ("image_rows", "boxes", "scores", "vectors"):
        assert torch.equal(getattr(joined, name), getattr(at_once, name))


def test_a_run_that_finds_all_of_it_done_takes_little_memory_an_image(tmp_path):
    """Bytes of Python's own objects; an image takes less than 1 kB of them."""
    model, used = load("mini", device="cpu"), {}
    for count in (20, 220):
        files.draw(tmp_path / f"photos{count}", count)
        inputs = find_inputs([tmp_path / f"photos{count}"])
        job = EmbedJob(model, tmp_path / f"index{count}", "whole", engine=Engine(pipeline=files.CopyingPipeline()))
        assert len(job.run(inputs).done) == count
        tracemalloc.start()
        run = EmbedJob(model, tmp_path / f"index{count}", "whole").run(find_inputs([tmp_path / f"photos{count}"]))
        used[count] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(run.skipped) == count
    assert used[220] - used[20] < 200 * 1500, used
