"""Formats of a job: chosen, added later without the model, kept up to date, told when they cannot be written."""

import json
import tarfile

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

import densevl
from densevl.api.jobs.formats import FORMATS
from densevl.api.jobs.manifest import read_manifest
from densevl.api.jobs.merge import merge
from densevl.api.jobs.segment import SegmentJob
from densevl.cli import main
from densevl.core.engine import Engine, Pipeline
from densevl.core.errors import UsageError
from densevl.core.inputs import find_inputs
from densevl.core.labelmap import read_label_map
from densevl.datasets.scenes import render

WORDS = "grass, sand, water, brick, wood, stone"


@pytest.fixture(scope="module")
def model():
    return densevl.load("mini", short_side=64)


@pytest.fixture
def photos(tmp_path):
    """Images with the same materials in two places each."""
    for number, name in enumerate(["a.png", "day 1/b.png", "day 1/c.jpg"]):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        one, other = (render(3, 2 * number + i, size=(48, 64)).image for i in range(2))
        pixels = np.vstack([np.hstack([one, other]), np.hstack([other, one])])
        Image.fromarray(pixels).save(tmp_path / "photos" / name)
    return tmp_path / "photos"


@pytest.fixture
def run(model, photos, tmp_path):
    def segment(*sources, out=tmp_path / "out", **settings):
        return SegmentJob(model, WORDS, out, **settings).run(find_inputs(sources or [photos], out))

    return segment


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (".lock", ".done.jsonl")
    }


def results(folder):
    """The contents without what tells which formats were chosen when."""
    kept = contents(folder)
    return {name: data for name, data in kept.items() if name != "job.json" and not name.endswith(".record.json")}


def counts(run):
    return len(run.done), len(run.skipped), len(run.failures)


def test_only_what_is_chosen_is_written(run, tmp_path):
    assert counts(run(save=["cvat"])) == (3, 0, 0)
    names = [name for name in contents(tmp_path / "out") if not name.endswith(".record.json")]
    assert sorted(names) == ["cvat.xml", "job.json"]


def test_formats_are_added_without_the_model(run, tmp_path):
    """By a second run, or by a merge, and are what one run gives."""
    everything = [name for name in FORMATS.names if not name.startswith(("labelme", "probabilities"))]
    assert counts(run(save=everything, out=tmp_path / "at once")) == (3, 0, 0)
    run(save=["coco"], out=tmp_path / "again")
    assert counts(run(save=everything, out=tmp_path / "again")) == (0, 3, 0)
    run(save=["coco"], out=tmp_path / "merged")
    assert merge([tmp_path / "merged"], save=everything).failures == []
    wanted = results(tmp_path / "at once")
    assert {"yolo-seg/data.yaml", "day 1/b.overlay.png", "a.labels.tif", "panoptic.json"} <= set(wanted)
    assert results(tmp_path / "again") == results(tmp_path / "merged") == wanted


def test_what_a_folder_has_is_kept_up_to_date(run, photos, tmp_path):
    out = tmp_path / "out"
    run(photos / "a.png", save=["coco", "cvat"])
    run(photos / "day 1", save=["yolo-seg"])
    assert read_manifest(out)["saved"] == ["coco", "cvat", "yolo-seg"]
    assert len(COCO(str(out / "annotations.json")).getImgIds()) == 3
    assert (out / "cvat.xml").read_text().count("<image ") == 3
    assert (out / "yolo-seg/labels/a.txt").is_file()
    before = contents(out)
    assert counts(run()) == (0, 3, 0)
    assert contents(out) == before


def test_other_instances_write_all_again(run, photos, tmp_path):
    out = tmp_path / "out"
    run(save=["coco", "labels"])
    whole, labels = results(out), (out / "a.labels.png").stat().st_mtime_ns
    assert counts(run(photos / "a.png", instances="connected", min_area=5)) == (0, 1, 0)
    assert (out / "a.labels.png").stat().st_mtime_ns == labels, "label maps do not hang on instances"
    found = COCO(str(out / "day 1/b.coco.json"))
    assert all(annotation["area"] >= 5 for annotation in found.loadAnns(found.getAnnIds()))
    run(out=tmp_path / "other", save=["coco", "labels"], instances="connected", min_area=5)
    assert results(out) != whole
    assert results(out) == results(tmp_path / "other")
    merge([out], instances="none")
    assert results(out) == whole


def test_instances_of_the_mask_maker(run, photos, tmp_path):
    out = tmp_path / "out"
    run(save=["coco"])
    assert counts(run(instances="masks", min_area=1)) == (3, 0, 0), "the mask maker has to be asked"
    assert counts(run(instances="masks")) == (0, 3, 0)
    found = COCO(str(out / "annotations.json"))
    for image_id, name in zip(found.getImgIds(), ["a", "day 1/b", "day 1/c"], strict=True):
        kept = json.loads((out / f"{name}.record.json").read_text())
        assert kept["mask_maker"]
        annotations = found.loadAnns(found.getAnnIds(image_id))
        assert len(annotations) > len(kept["classes"])
        covered = np.sum([found.annToMask(annotation) for annotation in annotations], axis=0)
        assert covered.max() == covered.min() == 1
    run(photos / "a.png", out=tmp_path / "none")
    with pytest.raises(UsageError, match=r"mask maker was not asked for a; segment again with --instances masks"):
        merge([tmp_path / "none"], instances="masks")


def test_a_model_without_a_mask_maker(photos, tmp_path):
    plain = densevl.Model(densevl.load("mini-maskclip", short_side=32).segmentor, "plain")
    with pytest.raises(UsageError, match="model 'plain' has no mask maker; choose --instances connected"):
        SegmentJob(plain, WORDS, tmp_path / "out", instances="masks")
    assert not (tmp_path / "out" / "job.json").exists()


def test_what_needs_an_image_that_is_gone_is_listed_and_the_rest_is_done(run, photos, tmp_path):
    out = tmp_path / "out"
    run(save=["coco"])
    moved = (photos / "a.png").rename(tmp_path / "a.png")
    found = merge([out], save=["overlay", "labels"])
    assert [failure.name for failure in found.failures] == ["a (overlay)"]
    assert "a.png is gone; put the image back there" in found.failures[0].reason
    assert len(COCO(str(out / "annotations.json")).getImgIds()) == 3
    assert (out / "a.labels.png").is_file()
    moved.rename(photos / "a.png")
    assert merge([out]).failures == []
    assert (out / "a.overlay.png").is_file()


def test_images_in_archives_have_names_and_pixels(run, photos, tmp_path):
    with tarfile.open(tmp_path / "some.tar", "w") as archive:
        archive.add(photos, "in")
    out = tmp_path / "out"
    run(tmp_path / "some.tar", save=["coco"])
    names = [image["file_name"] for image in COCO(str(out / "annotations.json")).dataset["images"]]
    assert [name.rpartition("/")[2] for name in names] == ["a.png", "b.png", "c.jpg"]
    assert merge([out], save=["yolo-seg", "labelme"]).failures == []
    images = [path for path in (out / "yolo-seg" / "images").rglob("*") if path.is_file()]
    assert len(images) == 3
    assert json.loads(next((out / "labelme").rglob("a.json")).read_text())["imageData"]


def test_a_damaged_record_is_made_again(run, tmp_path):
    out = tmp_path / "out"
    run()
    kept = json.loads((out / "a.record.json").read_text())
    kept["classes"][0]["mask"]["counts"] = "1"
    (out / "a.record.json").write_text(json.dumps(kept))
    with pytest.raises(UsageError, match="record of a cannot be used"):
        merge([out])
    assert counts(run()) == (1, 2, 0)
    assert merge([out]).images == 3


def test_overwrite_removes_what_another_job_wrote(run, photos, model, tmp_path):
    out = tmp_path / "out"
    run(save=FORMATS.names)
    other = SegmentJob(model, "cat, dog", out, overwrite=True, save=["labels"])
    other.run(find_inputs([photos / "a.png"], out))
    assert set(contents(out)) == {"a.labels.png", "a.record.json", "job.json"}


def test_labels_are_those_of_the_record(run, tmp_path):
    run()
    results = SegmentJob.__init__ and json.loads((tmp_path / "out" / "a.record.json").read_text())
    assert results["image"] == {"file_name": "a.png", "height": 96, "width": 128}
    labels = read_label_map(tmp_path / "out" / "a.labels.png")
    assert [kept["label"] for kept in results["classes"]] == sorted(
        np.unique(labels), key=lambda label: -(labels == label).sum()
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--save", "yolo"], "--save: format 'yolo' is unknown; did you mean yolo-seg"),
        (["--save", "coco,,cvat"], "--save: format '' is unknown; there are coco"),
        (["--instances", "all"], "invalid choice: 'all'"),
        (["--min-area", "-1"], "expected a number from 0 on"),
    ],
)
def test_what_cannot_be_saved_is_refused_before_anything_is_done(arguments, message, photos, tmp_path, capsys):
    command = ["segment", str(photos), WORDS, "--model", "mini", "--out", str(tmp_path / "out"), *arguments]
    try:
        code = main(command)
    except SystemExit as stopped:
        code = stopped.code
    assert code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_commands_save(photos, tmp_path, capsys):
    out = tmp_path / "out"
    segment = ["segment", str(photos), WORDS, "--model", "mini", "--set", "short_side=32", "--out", str(out)]
    assert main([*segment, "--save", "coco, yolo-seg", "--instances", "connected", "--min-area", "9"]) == 0
    assert "3 segmented" in capsys.readouterr().out
    assert main(["merge", str(out), "--save", "label-studio"]) == 0
    assert (out / "label-studio" / "config.xml").is_file()
    assert read_manifest(out)["min_area"] == 9


def test_a_large_overlay_is_a_jpeg_and_an_older_png_counts_until_it_is_drawn_anew(model, tmp_path):
    """500×500 pixels are large, one column less is not; earlier versions wrote PNG always."""
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    for name, width in (("large", 500), ("small", 499)):
        Image.fromarray(render(3, 0, size=(500, width)).image).save(photos / f"{name}.png")

    def again(**settings):
        job = SegmentJob(model, WORDS, out, save=["overlay"], **settings)
        return counts(job.run(find_inputs([photos], out))), sorted(path.name for path in out.glob("*.overlay.*"))

    assert again() == ((2, 0, 0), ["large.overlay.jpg", "small.overlay.png"])
    drawn = Image.open(out / "large.overlay.jpg")
    drawn.save(out / "large.overlay.png")
    (out / "large.overlay.jpg").unlink()
    assert again() == ((0, 2, 0), ["large.overlay.png", "small.overlay.png"])
    merge([out], tmp_path / "all")
    assert (tmp_path / "all" / "large.overlay.png").is_file()
    assert again(overwrite=True) == ((2, 0, 0), ["large.overlay.jpg", "small.overlay.png"])


def test_the_same_bytes_whatever_reads_and_writes(model, photos, tmp_path):
    """One thread of each kind and batches of one, or several of both."""
    for name, pipeline, batch in (("one", Pipeline(1, 1, 1, 1), 1), ("several", Pipeline(3, 3, 2, 8), 2)):
        out = tmp_path / name
        SegmentJob(model, WORDS, out, batch=batch, engine=Engine(pipeline=pipeline)).run(find_inputs([photos], out))
    assert results(tmp_path / "one") == results(tmp_path / "several")
