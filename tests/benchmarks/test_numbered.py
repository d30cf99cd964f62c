"""Evaluations on an engine: the figures of one process, and runs that go on."""

import json

import numpy as np
import pytest
from toys.sent import SentEngine

from densevl.benchmarks import numbered
from densevl.benchmarks.numbered import KEPT, ImageWorker, KeptImages
from densevl.benchmarks.run import evaluate
from densevl.cli import main
from densevl.core.errors import DensevlError, UsageError
from densevl.core.labelmap import read_label_map

QUICK = {"weights": "random:0", "test_dataloader.num_workers": 0}
SCENES = {**QUICK, "model.templates": "none", "test_dataloader.dataset.length": 4, "test_dataloader.dataset.size": 64}
CROPS = {
    "type": "marked-images",
    "encoder": {"type": "clip", "weights": "mini-clip"},
    "visual_prompts": ["crop"],
}
REGIONS = {"model.embedder": CROPS, "model.mask_maker": None, "test_dataloader.num_workers": 0}
KINDS = {
    "label maps": ("maskclip_scenes", SCENES),
    "names of regions": ("fgvp_regions_scenes", {**REGIONS, "test_dataloader.dataset.length": 3}),
    "retrieval": ("cloc_retrieval_scenes", {"test_dataloader.num_workers": 0, "test_dataloader.dataset.length": 3}),
    "expressions": (
        "near_scenes",
        {
            "model.model": {"embedders": [CROPS], "negatives": None},
            "test_dataloader.dataset.length": 3,
        },
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_report_is_that_of_one_process(kind, tmp_path):
    config, options = KINDS[kind]
    options = {**options, "batch_size": 2}
    here = evaluate(config, work_dir=tmp_path / "here", options=options)
    sent = evaluate(config, work_dir=tmp_path / "sent", options=options, engine=SentEngine())
    assert sent.scores.as_dict() == here.scores.as_dict()
    assert str(sent) == str(here)
    assert sent.failures == here.failures == []
    assert not (tmp_path / "sent" / KEPT).exists()


def test_images_that_cannot_be_used_are_named_and_label_maps_are_written(ade, tmp_path):
    root = ade()
    broken = sorted(root.rglob("images/validation/*.jpg"))[1]
    broken.write_bytes(b"no picture")
    options = {**QUICK, "model.model": "mini", "model.templates": "none", "data_root": str(root)}
    places = {name: {"work_dir": tmp_path / name, "out": tmp_path / name / "maps"} for name in ("here", "sent")}
    here = evaluate("maskclip_ade", options=options, confusion=tmp_path / "here.csv", **places["here"])
    sent = evaluate(
        "maskclip_ade", options=options, confusion=tmp_path / "sent.csv", engine=SentEngine(), **places["sent"]
    )
    assert sent.failures == here.failures
    assert [failure.name for failure in sent.failures] == [str(broken)]
    assert (tmp_path / "sent.csv").read_bytes() == (tmp_path / "here.csv").read_bytes()
    maps = sorted(path.name for path in (tmp_path / "here" / "maps").iterdir())
    assert maps == sorted(path.name for path in (tmp_path / "sent" / "maps").iterdir())
    first, second = (read_label_map(tmp_path / name / "maps" / maps[0]) for name in ("here", "sent"))
    assert np.array_equal(first, second)


def test_an_evaluation_that_was_stopped_goes_on(tmp_path, monkeypatch):
    options = {**SCENES, "batch_size": 2}
    whole = evaluate("maskclip_scenes", work_dir=tmp_path / "whole", options=options, engine=SentEngine())
    real, read = ImageWorker.write, []

    def stopped(self, item, made):
        if item.index == 2:
            raise DensevlError("the power is off")
        return real(self, item, made)

    monkeypatch.setattr(ImageWorker, "write", stopped)
    with pytest.raises(DensevlError, match=r"scenes/000002.png cannot be answered: the power is off"):
        evaluate("maskclip_scenes", work_dir=tmp_path, options=options, engine=SentEngine())
    assert len((tmp_path / KEPT).read_text().splitlines()) == 3
    with (tmp_path / KEPT).open("a") as file:
        file.write('{"index": 3, "told"')  # half a line
    monkeypatch.setattr(
        ImageWorker, "write", lambda self, item, made: read.append(item.index) or real(self, item, made)
    )
    again = evaluate("maskclip_scenes", work_dir=tmp_path, options=options, engine=SentEngine())
    assert read == [2, 3]
    assert again.scores.as_dict() == whole.scores.as_dict()


def test_what_was_kept_counts_for_the_same_evaluation_alone(tmp_path):
    kept = KeptImages(tmp_path / KEPT, "one")
    kept.add(0, {"found": []})
    assert KeptImages(tmp_path / KEPT, "one").found == {0: {"found": []}}
    assert KeptImages(tmp_path / KEPT, "other").found == {}
    assert [json.loads(line) for line in (tmp_path / KEPT).read_text().splitlines()] == [{"fingerprint": "other"}]


@pytest.mark.parametrize(
    ("asked", "option"),
    [({"lenses": ["hardest"]}, "--lens"), ({"html": "page"}, "--html"), ({"per_image": "a.csv"}, "--per-image")],
)
def test_what_other_processes_do_not_do_is_refused(asked, option, tmp_path):
    with pytest.raises(UsageError, match=f"{option} is not there with --workers"):
        evaluate("maskclip_scenes", work_dir=tmp_path, options=SCENES, engine=SentEngine(), **asked)


def test_a_batch_that_was_half_done_is_done_as_at_first():
    """Batches are composed as in one run: last digits may depend on it."""
    assert numbered.unanswered(7, 2, {0: {}, 2: {}, 3: {}}) == [0, 1, 4, 5, 6]


def test_the_command_takes_the_options_of_workers(tmp_path, capsys):
    options = [f"{name}={value}" for name, value in SCENES.items()]
    arguments = ["test", "maskclip_scenes", "--work-dir", str(tmp_path), "--threads", "1", "--cfg-options", *options]
    assert main(arguments) == 0
    assert "mIoU" in capsys.readouterr().out
    assert main([*arguments, "--workers", "2", "--html", str(tmp_path)]) == 2
    assert "--html is not there with --workers" in capsys.readouterr().err
