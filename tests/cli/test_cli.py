"""The command line end to end, with the shipped mini model and real files."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from densevl.cli import main
from densevl.core.labelmap import read_label_map
from densevl.datasets.scenes import render

WORDS = "grass, sand, water, brick, wood, stone, red circle, blue star"


@pytest.fixture
def photos(tmp_path):
    """A folder of two scenes, one of them in a folder below."""
    folder = tmp_path / "photos"
    (folder / "day1").mkdir(parents=True)
    for index, name in enumerate(["a.png", "day1/b.jpg"]):
        Image.fromarray(render(3, index, size=(96, 128)).image).save(folder / name)
    return folder


def segment(*arguments):
    """Run the command with the mini model, unless the arguments name another."""
    return main(["segment", "--model", "mini", "--offline", *map(str, arguments)])


def test_one_image_gives_overlay_labels_and_record(photos, tmp_path, capsys):
    out = tmp_path / "out"
    assert segment(photos / "a.png", WORDS, "--out", out) == 0
    printed = capsys.readouterr().out
    assert "%" in printed
    assert str(out / "a.overlay.png") in printed
    labels = read_label_map(out / "a.labels.png")
    assert labels.shape == (96, 128)
    assert cv2.imread(str(out / "a.overlay.png")).size > 96 * 128 * 3
    found = json.loads((out / "a.coco.json").read_text())
    assert found["images"] == [{"id": 1, "file_name": "a.png", "height": 96, "width": 128}]
    label_of = {category["id"]: category["label"] for category in found["categories"]}
    assert {label_of[annotation["category_id"]] for annotation in found["annotations"]} == set(np.unique(labels))
    for annotation in found["annotations"]:
        mask = coco_mask.decode(annotation["segmentation"]).astype(bool)
        assert np.array_equal(mask, labels == label_of[annotation["category_id"]])


def test_a_folder_is_mirrored_and_joined(photos, tmp_path):
    out = tmp_path / "out"
    assert segment(photos, WORDS, "--out", out, "--batch", 2) == 0
    assert (out / "day1" / "b.overlay.png").is_file()
    joined = json.loads((out / "annotations.json").read_text())
    assert [image["file_name"] for image in joined["images"]] == ["a.png", "day1/b.jpg"]
    assert [category["name"] for category in joined["categories"]] == WORDS.split(", ")
    ids = [annotation["id"] for annotation in joined["annotations"]]
    assert ids == list(range(1, len(ids) + 1))


def test_a_batch_gives_what_single_images_give(photos, tmp_path):
    segment(photos, WORDS, "--out", tmp_path / "one")
    segment(photos, WORDS, "--out", tmp_path / "two", "--batch", 2)
    for name in ("a.labels.png", "day1/b.labels.png"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_second_run_skips_what_is_done_and_changed_classes_are_another_job(photos, tmp_path, capsys):
    out = tmp_path / "out"
    segment(photos, WORDS, "--out", out)
    capsys.readouterr()
    assert segment(photos, WORDS, "--out", out) == 0
    assert "0 segmented, 2 done before" in capsys.readouterr().out
    (out / "a.labels.png").unlink()
    segment(photos, WORDS, "--out", out)
    assert "1 segmented, 1 done before" in capsys.readouterr().out
    assert segment(photos, WORDS + ", black heart", "--out", out) == 2
    assert "vocabulary.classes" in capsys.readouterr().err
    for _ in range(2):
        segment(photos, WORDS + ", black heart", "--out", out, "--overwrite")
        assert "2 segmented, 0 done before" in capsys.readouterr().out


def test_every_setting_of_the_model_decides_what_is_done(photos, tmp_path, capsys):
    """A run with another setting is another job, however the setting is given; one with the same is not."""
    out, photo = tmp_path / "out", photos / "a.png"
    runs = [
        (["--set", "short_side=64"], True),
        (["--short-side", "64"], False),
        (["--set", "short_side=96"], True),
        (["--set", "short_side=96", "--set", "templates=plain"], True),
        (["--set", "short_side=96", "--set", "templates=plain", "--dtype", "bfloat16"], True),
        (["--set", "short_side=96", "--set", 'templates="plain"', "--dtype", "bfloat16"], False),
    ]
    for number, (arguments, other) in enumerate(runs):
        if other and number:
            assert segment(photo, photos / "day1", WORDS, "--out", out, *arguments) == 2, arguments
            assert "protocol." in capsys.readouterr().err
        anew = ["--overwrite"] if other else []
        assert segment(photo, photos / "day1", WORDS, "--out", out, *arguments, *anew) == 0
        assert f"{2 * other} segmented, {2 - 2 * other} done before" in capsys.readouterr().out, arguments


def test_another_input_of_the_same_name_is_not_taken_for_done(photos, tmp_path, capsys):
    out = tmp_path / "out"
    segment(photos / "a.png", WORDS, "--out", out)
    before = (out / "a.labels.png").read_bytes()
    Image.fromarray(render(3, 7, size=(96, 128)).image).save(photos / "day1" / "a.png")
    segment(photos / "day1" / "a.png", WORDS, "--out", out)
    assert (out / "a.labels.png").read_bytes() == before != (out / "a.png.labels.png").read_bytes()
    (photos / "a.png").unlink()
    Image.fromarray(render(3, 7, size=(96, 128)).image).save(photos / "a.png")
    segment(photos / "a.png", WORDS, "--out", out)
    assert (out / "a.labels.png").read_bytes() == (out / "a.png.labels.png").read_bytes()


def test_inputs_may_be_called_like_the_files_of_the_run(photos, tmp_path):
    for name in ("annotations", "vocabulary", "failures"):
        (photos / "a.png").rename(photos / f"{name}.png")
        assert segment(photos / f"{name}.png", WORDS, "--out", tmp_path / "out") == 0
        (photos / f"{name}.png").rename(photos / "a.png")
    assert json.loads((tmp_path / "out" / "annotations.json").read_text())["images"]


def test_the_folder_of_results_is_not_an_input(photos, tmp_path, capsys):
    segment(photos, WORDS, "--out", photos / "out")
    capsys.readouterr()
    segment(photos, WORDS, "--out", photos / "out")
    assert "0 segmented, 2 done before, 0 failed" in capsys.readouterr().out


def test_a_bad_file_does_not_stop_a_folder(photos, tmp_path, capsys):
    (photos / "empty.jpg").write_bytes(b"")
    (photos / "text.jpg").write_text("not an image")
    whole = (photos / "day1" / "b.jpg").read_bytes()
    (photos / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    out = tmp_path / "out"
    assert segment(photos, WORDS, "--out", out, "--batch", 3) == 1
    assert (out / "a.overlay.png").is_file()
    assert (out / "day1" / "b.overlay.png").is_file()
    failures = [json.loads(line) for line in (out / "failures.jsonl").read_text().splitlines()]
    assert {Path(failure["name"]).name for failure in failures} == {"empty.jpg", "text.jpg", "cut.jpg"}
    assert not list(out.glob("empty*"))
    assert "3 failed" in capsys.readouterr().err
    for name in ("empty", "text", "cut"):
        (photos / f"{name}.jpg").unlink()
    assert segment(photos, WORDS, "--out", out) == 0
    assert not (out / "failures.jsonl").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{photos}/a.png"], "no classes given"),
        (["{photos}/a.png", "{photos}/a.png"], "a class of that name is written ' "),
        (["{photos}/a.png", ""], "no classes"),
        (["{photos}/a.png", "cat, , dog"], "empty"),
        (["{photos}/a.png", "cat, dog, Cat"], "classes 1 and 3"),
        (["{photos}/missing.png", "cat"], "no such file"),
        (["{photos}/*.webp", "cat"], "no image"),
        (["{photos}/a.png", "cat", "--model", "minni"], "mini"),
        (["{photos}/a.png", "cat", "--background", "sky"], "background mode"),
        (["{photos}/a.png", "cat", "--device", "cuda:99"], "device 'cuda:99'"),
        (["{photos}/a.png", "--vocabulary", "ade20"], "ade20k"),
        (["{photos}/a.png", "--classes", "{photos}/none.txt"], "none.txt"),
        (["{photos}/a.png", "cat", "--window", "64", "--stride", "65"], "stride"),
        (["{photos}/a.png", "cat, " + "x" * 300], "tokens"),
        (["{photos}/a.png", "cat", "--set", "short_sidee=3"], "did you mean short_side"),
        (["{photos}/a.png", "cat", "--set", "device=cpu"], "write --device"),
        (["{photos}/a.png", "cat", "--shard", "3/2"], "shard 3/2 does not exist"),
        (["{photos}/a.png", "cat", "--shard", "auto"], "asks the cluster"),
        (["https://example.org/a.png", "cat"], "must not be used offline"),
        (["@{photos}/none.txt", "cat"], "cannot be read"),
        (["{photos}/a.png", "@{photos}/none.txt"], "no classes given"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(photos, tmp_path, capsys, arguments, message):
    out = tmp_path / "out"
    arguments = [argument.format(photos=photos) for argument in arguments]
    assert segment(*arguments, "--out", out) == 2
    error = capsys.readouterr().err
    assert error.startswith("densevl: error: ")
    assert error.count("\n") == 1
    assert message in error
    assert not list(out.glob("**/*.png"))


def test_one_unreadable_image_is_exit_code_1(photos, tmp_path, capsys):
    (photos / "text.png").write_text("not an image")
    assert segment(photos / "text.png", WORDS, "--out", tmp_path / "out") == 1
    assert "text.png" in capsys.readouterr().err


def test_unusual_classes_give_a_result(photos, tmp_path):
    classes = tmp_path / "classes.txt"
    classes.write_text("\n".join(["赤い丸", "rød cirkel", *(f"thing {i}" for i in range(998))]), "utf-8")
    assert segment(photos / "a.png", "--classes", classes, "--out", tmp_path / "out") == 0
    assert cv2.imread(str(tmp_path / "out" / "a.labels.png"), cv2.IMREAD_UNCHANGED).dtype == np.uint16


def test_an_unwritable_output_is_said_at_once(photos, tmp_path, capsys):
    (tmp_path / "out").write_text("a file, not a folder")
    assert segment(photos / "a.png", WORDS, "--out", tmp_path / "out") == 1
    assert "cannot write" in capsys.readouterr().err


def test_a_full_disk_leaves_nothing_half_written(photos, tmp_path):
    """Files may not grow beyond 2000 bytes: the overlay does not fit, and the run stops with one error."""
    code = (
        "import resource, sys; import densevl.api.jobs.segment; from densevl.cli import main; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)); sys.exit(main(sys.argv[1:]))"
    )
    out = tmp_path / "out"
    command = [sys.executable, "-c", code, "segment", photos / "a.png", "grass, sand", "--out", out, "--model", "mini"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env={**os.environ})
    assert done.returncode == 1
    assert "cannot write" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in out.iterdir()) == [".lock", "job.json"]


def test_shards_are_merged_and_missing_ones_are_said(photos, tmp_path, capsys):
    out = tmp_path / "out"
    assert segment(photos, WORDS, "--out", out, "--shard", "1/2") == 0
    assert f"when all are done, join them: densevl merge {out}" in capsys.readouterr().out
    assert main(["merge", str(out)]) == 1
    assert "of 2 shards, 2 has not finished" in capsys.readouterr().err
    assert segment(photos, WORDS, "--out", out, "--shard", "2/2") == 0
    capsys.readouterr()
    assert main(["merge", str(out)]) == 0
    assert capsys.readouterr().out == f"2 images, 0 failed: {out}\n"
    assert main(["merge", str(photos)]) == 2
    assert "holds no job" in capsys.readouterr().err


def test_standard_input_names_images(photos, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(photos.parent)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"photos/a.png\nphotos/day1/b.jpg\n")))
    assert segment("-", WORDS, "--out", tmp_path / "out") == 0
    assert (tmp_path / "out" / "photos" / "day1" / "b.labels.png").is_file()


def test_env_names_the_packages(capsys):
    assert main(["env"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("densevl", "torch", "open_clip_torch", "python", "cache"))


def test_weights_that_are_not_here_say_what_to_fetch(photos, tmp_path, capsys):
    assert segment(photos / "a.png", WORDS, "--model", "maskclip", "--out", tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert "open_clip_model.safetensors" in error
    assert "CLIP-ViT-B-16-laion2B" in error


def test_the_model_that_nobody_named_is_said(photos, tmp_path, capsys):
    assert main(["segment", str(photos / "a.png"), WORDS, "--out", str(tmp_path / "out"), "--offline"]) == 1
    printed = capsys.readouterr().err.splitlines()
    assert printed[0] == "densevl: model dinoiser: the default; --model takes another"
    assert "weights 'clip-vit-b16-laion2b', 'dinoiser-b16' are not on this machine" in printed[1]


def test_a_page_of_all_images_is_written_and_resumed(photos, tmp_path, capsys):
    out, name = tmp_path / "out", "<b>'\"#%.png"
    (photos / "a.png").rename(photos / name)
    assert segment(photos, WORDS, "--out", out, "--html") == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(out / "index.html")
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "<b>" not in page
    assert "page/thumbs/%3Cb%3E%27%22%23%25.jpg" in page
    assert "page/labels/day1/b.js" in page
    (out / "page" / "labels" / "day1" / "b.js").unlink()
    assert segment(photos, WORDS, "--out", out, "--html") == 0
    assert "1 segmented, 1 done before" in capsys.readouterr().out
    assert (out / "page" / "labels" / "day1" / "b.js").is_file()
    assert segment(photos, WORDS + ", black heart", "--out", out, "--overwrite") == 0
    assert not (out / "page").exists(), "a job that is begun anew without a page has none"
    assert not (out / "index.html").exists()


def test_overlays_of_many_images_are_drawn_where_they_are_asked_for(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("densevl.api.jobs.formats.MANY", 1)
    told = "densevl: 2 images, so no overlays are drawn; add them later with `densevl merge out --save overlay`"
    assert segment(photos, WORDS, "--out", "out") == 0
    assert told in capsys.readouterr().err.splitlines()
    assert not list(Path("out").rglob("*.overlay.png"))
    assert segment(photos, WORDS, "--out", "out") == 0
    assert "overlays" not in capsys.readouterr().err
    assert main(["merge", "out", "--save", "overlay"]) == 0
    assert len(list(Path("out").rglob("*.overlay.png"))) == 2
    for arguments, count in (([photos / "a.png"], 1), ([photos, "--save", "overlay"], 2)):
        assert segment(arguments[0], WORDS, *arguments[1:], "--out", f"out{count}") == 0
        assert "overlays" not in capsys.readouterr().err
        assert len(list(Path(f"out{count}").rglob("*.overlay.png"))) == count
