"""Jobs of segmenting: one folder, one job, several processes, every kind of input."""

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import densevl
from densevl.api.jobs.embed import EmbedJob
from densevl.api.jobs.manifest import read_manifest
from densevl.api.jobs.merge import merge
from densevl.api.jobs.refer import ReferJob
from densevl.api.jobs.segment import SegmentJob
from densevl.api.jobs.shards import Shard
from densevl.core.errors import OutputError, UsageError
from densevl.core.failures import FAILURES
from densevl.core.inputs import find_inputs
from densevl.core.labelmap import read_label_map
from densevl.datasets.scenes import render

WORDS = "grass, sand, water, brick, wood, stone"


@pytest.fixture(scope="module")
def model():
    return densevl.load("mini-maskclip", short_side=32)


def scene(path, number=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(render(3, number, size=(32, 40)).image).save(path)
    return path


@pytest.fixture
def photos(tmp_path):
    """Four scenes in two folders, and one file that is no image."""
    for number in range(4):
        scene(tmp_path / "photos" / f"day{number % 2}" / f"{number}.png", number)
    (tmp_path / "photos" / "day0" / "bad.png").write_text("no image")
    return tmp_path / "photos"


@pytest.fixture
def run(model, tmp_path):
    def segment(*arguments, classes=WORDS, out=tmp_path / "out", shard=None, every=1, **settings):
        return SegmentJob(model, classes, out, **settings).run(find_inputs(arguments, out, every=every), shard)

    return segment


def joined(out):
    """File names, and the name of each input's results that failed, of a folder."""
    images = [Path(image["file_name"]).name for image in json.loads((out / "annotations.json").read_text())["images"]]
    failures = out / FAILURES
    lines = failures.read_text().splitlines() if failures.exists() else []
    return images, [Path(json.loads(line)["name"]).name for line in lines]


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (".lock", ".done.jsonl") and not path.name.startswith("shard-")
    }


def counts(run):
    return len(run.done), len(run.skipped), len(run.failures)


def test_a_folder_grows_and_its_lists_cover_all_of_it(photos, run, tmp_path):
    out = tmp_path / "out"
    assert counts(run(photos / "day0")) == (2, 0, 1)
    assert counts(run(photos / "day1")) == (2, 0, 0)
    assert joined(out) == (["0.png", "1.png", "2.png", "3.png"], ["bad.png"])
    scene(photos / "day0" / "bad.png", 7)
    assert counts(run(photos / "day0" / "bad.png")) == (1, 0, 0)
    assert joined(out)[1] == []
    assert "bad.png" in joined(out)[0]
    assert counts(run(photos / "day0", photos / "day1")) == (0, 5, 0)


def test_an_input_that_fails_later_is_listed_and_joined_no_more(photos, run, tmp_path):
    run(photos / "day1")
    (photos / "day1" / "1.png").write_text("no image any more")
    assert counts(run(photos / "day1")) == (0, 1, 1)
    assert joined(tmp_path / "out") == (["3.png"], ["1.png"])


@pytest.mark.parametrize("changed", ["classes", "background"])
def test_another_job_is_refused_and_changes_nothing(photos, run, tmp_path, changed):
    run(photos)
    before = contents(tmp_path / "out")
    settings = {"classes": {"classes": "cat, dog"}, "background": {"background": "threshold:0.5"}}[changed]
    with pytest.raises(UsageError, match=f"{changed} .* there, .* here; name another folder with --out"):
        run(photos, **settings)
    assert contents(tmp_path / "out") == before


def test_overwrite_begins_another_job_anew_and_keeps_what_is_not_its_own(photos, run, tmp_path):
    out = tmp_path / "out"
    run(photos)
    (out / "day0" / "notes.txt").write_text("mine")
    (out / "mine.coco.json").write_text('{"images": []}')
    other = SegmentJob(densevl.load("mini-maskclip", short_side=24), WORDS, out / "inner")
    other.run(find_inputs([photos / "day1" / "1.png"]))
    run(photos / "day1" / "3.png", classes="grass, sand", overwrite=True)
    assert joined(out) == (["3.png"], [])
    kept = {name for name in contents(out) if not name.startswith(("inner/", "3."))}
    assert kept == {"annotations.json", "job.json", "day0/notes.txt", "mine.coco.json"}
    assert joined(out / "inner") == (["1.png"], [])


def test_overwrite_of_the_same_job_does_the_inputs_again_and_keeps_the_others(photos, run, tmp_path):
    run(photos)
    assert counts(run(photos / "day1", overwrite=True)) == (2, 0, 0)
    assert len(joined(tmp_path / "out")[0]) == 4


def test_images_of_one_name_from_several_calls_lie_side_by_side(tmp_path, run):
    out = tmp_path / "out"
    one, two = scene(tmp_path / "one" / "a.png", 1), scene(tmp_path / "two" / "a.png", 2)
    run(one)
    before = (out / "a.labels.png").read_bytes()
    for again in (False, True):
        assert counts(run(two)) == ((0, 1, 0) if again else (1, 0, 0))
    assert counts(run(one)) == (0, 1, 0)
    assert (out / "a.labels.png").read_bytes() == before != (out / "a.png.labels.png").read_bytes()
    assert len(joined(out)[0]) == 2


def test_images_that_were_moved_take_the_place_of_their_results(photos, run, tmp_path):
    run(photos / "day1")
    photos.rename(tmp_path / "moved")
    assert counts(run(tmp_path / "moved" / "day1")) == (2, 0, 0)
    assert len(joined(tmp_path / "out")[0]) == 2


def test_a_run_stops_where_its_folder_was_begun_anew(photos, model, tmp_path):
    job = SegmentJob(model, WORDS, tmp_path / "out")
    SegmentJob(model, "grass, sand", tmp_path / "out", overwrite=True)
    with pytest.raises(OutputError, match="begun anew by another run"):
        job.run(find_inputs([photos]))
    assert not list((tmp_path / "out").glob("**/*.png"))


def test_shards_that_are_merged_are_what_one_run_makes(photos, run, tmp_path):
    run(photos, out=tmp_path / "one")
    for number in (1, 2, 3):
        run(photos, shard=Shard(number, 3))
        assert not (tmp_path / "out" / "annotations.json").exists()
    merged = merge([tmp_path / "out"])
    assert (merged.images, len(merged.failures), merged.missing) == (4, 1, [])
    assert contents(tmp_path / "out") == contents(tmp_path / "one")


def test_folders_of_several_machines_become_one(photos, run, tmp_path):
    run(photos, out=tmp_path / "one")
    folders = [tmp_path / f"machine{number}" for number in (1, 2, 3)]
    for number, folder in enumerate(folders, 1):
        run(photos, out=folder, shard=Shard(number, 3))
    merged = merge(folders[::2], tmp_path / "out")
    assert merged.missing == ["of 3 shards, 2 has not finished"]
    merged = merge([tmp_path / "out", folders[1]], tmp_path / "out")
    assert merged.missing == []
    assert contents(tmp_path / "out") == contents(tmp_path / "one")


def test_what_failed_here_and_succeeded_there_is_done(photos, run, tmp_path):
    run(photos, out=tmp_path / "first")
    scene(photos / "day0" / "bad.png", 8)
    run(photos / "day0" / "bad.png", out=tmp_path / "second")
    merged = merge([tmp_path / "first", tmp_path / "second"], tmp_path / "out")
    assert (merged.images, merged.failures) == (5, [])


def test_what_cannot_be_merged(photos, run, tmp_path, model):
    run(photos / "day1", out=tmp_path / "one")
    run(photos / "day1", out=tmp_path / "two", classes="grass, sand")
    with pytest.raises(UsageError, match=r"different jobs: vocabulary.classes .* in .*one, .* in .*two"):
        merge([tmp_path / "one", tmp_path / "two"], tmp_path / "out")
    with pytest.raises(UsageError, match="other settings"):
        merge([tmp_path / "one"], tmp_path / "two")
    with pytest.raises(UsageError, match="name it with --out"):
        merge([tmp_path / "one", tmp_path / "one"])
    with pytest.raises(UsageError, match="holds no job"):
        merge([photos])
    scene(tmp_path / "others" / "1.png", 4)
    run(tmp_path / "others", out=tmp_path / "three")
    with pytest.raises(UsageError, match=r"'1' is .*day1/1.png in .* and .*others/1.png in "):
        merge([tmp_path / "one", tmp_path / "three"], tmp_path / "one")
    assert not (tmp_path / "out").exists()


def test_runs_at_once_erase_nothing_of_each_other(photos, model, tmp_path):
    """Two jobs on one folder, with inputs of their own: one begins and ends while the other is at work."""
    out = tmp_path / "out"
    (photos / "day1" / "bad1.png").write_text("no image")
    first, second = SegmentJob(model, WORDS, out), SegmentJob(model, WORDS, out)

    make = first.worker.make

    def interrupted(items, images):
        if not (out / "3.coco.json").exists():
            second.run(find_inputs([photos / "day1"]))
        return make(items, images)

    first.worker.make = interrupted
    first.run(find_inputs([photos / "day0"]))
    assert joined(out) == (["0.png", "1.png", "2.png", "3.png"], ["bad.png", "bad1.png"])


def test_two_processes_at_once_are_as_good_as_one(photos, run, tmp_path):
    """Each has a bad file of its own, and they share the list of failures."""
    for number in range(4):
        (photos / f"bad{number}.png").write_text("no image")
    run(photos, out=tmp_path / "one")
    code = "import sys; from densevl.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [
        sys.executable,
        "-c",
        code,
        "segment",
        photos,
        WORDS,
        "--model",
        "mini-maskclip",
        "--set",
        "short_side=32",
    ]
    started = [
        subprocess.Popen(
            list(map(str, [*command, "--offline", "--out", tmp_path / "out", "--shard", f"{number}/2"])),
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in (1, 2)
    ]
    said = [process.communicate()[0] for process in started]
    assert all(f"shard {number}/2: " in text for number, text in zip((1, 2), said, strict=True))
    merged = merge([tmp_path / "out"])
    assert (merged.images, len(merged.failures), merged.missing) == (4, 5, [])
    assert contents(tmp_path / "out") == contents(tmp_path / "one")


def test_an_archive_resumes_and_is_not_extracted(photos, run, tmp_path):
    with tarfile.open(tmp_path / "all.tar.gz", "w:gz") as archive:
        archive.add(photos, "all")
    assert counts(run(tmp_path / "all.tar.gz")) == (4, 0, 1)
    assert counts(run(tmp_path / "all.tar.gz")) == (0, 4, 1)
    assert (tmp_path / "out" / "all" / "day1" / "3.labels.png").is_file()
    assert joined(tmp_path / "out")[1] == ["bad.png"]
    assert not list(tmp_path.glob("**/all/**/*.png.png"))
    os.utime(tmp_path / "all.tar.gz", (1, 1))
    assert counts(run(tmp_path / "all.tar.gz")) == (4, 0, 1)


def test_a_video_gives_label_maps_and_a_video_of_its_rate_and_duration(run, tmp_path):
    pytest.importorskip("av")
    from toys.videos import write_video

    from densevl.core.inputs.videos import Video

    times = [0, 40, 80, 200, 240, 280, 320, 500, 540]
    path, out = write_video(tmp_path / "clip.mp4", range(0, 180, 20), size=(48, 66), times=times), tmp_path / "out"
    assert counts(run(path, every=3)) == (3, 0, 0)
    assert read_label_map(out / "clip" / "000003.labels.png").shape == (48, 66)
    source, made = Video(path), Video(out / "clip.overlay.mp4")
    assert [time * made.time_base for time in made.times] == [time * source.time_base for time in source.times]
    assert abs(made.end * made.time_base - source.end * source.time_base) < 0.001
    assert made.read(0, "frame").shape == (48, 66, 3)
    held = [np.abs(made.read(i, "frame").astype(int) - made.read(i + 1, "frame")).mean() for i in range(8)]
    assert [value > 3 for value in held] == [False, False, True, False, False, True, False, False]
    written = (out / "clip.overlay.mp4").stat().st_mtime_ns
    assert counts(run(path, every=3)) == (0, 3, 0)
    assert (out / "clip.overlay.mp4").stat().st_mtime_ns == written
    assert counts(run(path)) == (6, 3, 0)
    assert (out / "clip.overlay.mp4").stat().st_mtime_ns != written
    run(path, classes="grass, sand", overwrite=True, every=9)
    assert sorted(file.name for file in (out / "clip").iterdir()) == [
        f"000000{suffix}" for suffix in (".coco.json", ".labels.png", ".overlay.png", ".record.json")
    ]


def test_the_video_of_shards_is_made_when_they_are_merged(run, tmp_path):
    pytest.importorskip("av")
    from toys.videos import write_video

    path, out = write_video(tmp_path / "clip.mp4", range(0, 160, 20)), tmp_path / "out"
    for number in (1, 2):
        run(path, shard=Shard(number, 2))
    assert not (out / "clip.overlay.mp4").exists()
    assert merge([out]).failures == []
    assert (out / "clip.overlay.mp4").is_file()
    path.unlink()
    [failure] = merge([out]).failures
    assert failure.name == "clip.overlay.mp4"
    assert "cannot be made from" in failure.reason


def test_other_commands_leave_a_folder_of_segment_as_it_is(photos, run, tmp_path):
    out = tmp_path / "out"
    run(photos)
    before = contents(out)
    tool = densevl.load("mini")
    with pytest.raises(UsageError, match="results of `densevl segment`"):
        EmbedJob(tool, out, "whole").run(find_inputs([photos]))
    ReferJob(tool, out).run(photos / "day1" / "1.png", ["the left thing"], [(0, 0, 10, 10), (20, 0, 30, 20)])
    assert contents(out).items() >= before.items()
    assert contents(out).keys() - before.keys() == {"1.refer.json", "1.refer.png"}
    assert counts(run(photos)) == (0, 4, 1)


def test_the_manifest_tells_a_user_what_the_labels_mean(photos, run, tmp_path):
    run(photos / "day1" / "1.png", classes="grass, sand|beach", background="threshold:0.4")
    manifest = read_manifest(tmp_path / "out")
    assert manifest["command"] == "segment"
    assert manifest["densevl"] == densevl.__version__
    assert manifest["vocabulary"]["classes"] == [["background"], ["grass"], ["sand", "beach"]]
    assert manifest["threshold"] == 0.4
    assert manifest["protocol"]["short_side"] == 32
