"""Sequences taught, recognised and checked by the mini models, on a few small ones."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from toys.sent import SentEngine

import densevl
from densevl import Classes, ImageError, UsageError
from densevl.api.jobs.check import CheckJob
from densevl.api.loading import Loading
from densevl.cli import main
from densevl.core.images import read_image
from densevl.datasets.examples import frames_of, read_sequences
from densevl.datasets.scenes.sequences import draw_sequence

KINDS = ("collision", "pass")


def draw(folder, seed, each):
    """Sequences of three small frames, a folder for each kind."""
    for kind in KINDS:
        for index in range(each):
            frames = folder / kind / str(index)
            frames.mkdir(parents=True)
            for number, image in enumerate(draw_sequence(seed, index, 3, 64, kind).frames):
                Image.fromarray(image).save(frames / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return draw(tmp_path_factory.mktemp("clips"), 40, 3)


@pytest.fixture(scope="module")
def model():
    return densevl.load("mini", device="cpu", lazy=True, short_side=96)


@pytest.fixture(scope="module")
def taught(clips, model, tmp_path_factory):
    """The file of the classes."""
    path = tmp_path_factory.mktemp("taught") / "classes.safetensors"
    model.teach(clips, heads="sequences").save(path)
    return path


def test_other_processes_give_the_same_file(clips, taught, model, tmp_path):
    loading = Loading("mini", {"device": "cpu", "lazy": True, "short_side": 96})
    sent = {"heads": "sequences", "engine": SentEngine(), "again": loading.load}
    model.taught(clips, **sent).classes.save(tmp_path / "sent.safetensors")
    assert (tmp_path / "sent.safetensors").read_bytes() == taught.read_bytes()
    broken = draw(tmp_path / "broken", 40, 2) / KINDS[0] / "1" / "2.png"
    broken.write_text("no")
    with pytest.raises(ImageError, match=r"2\.png"):
        model.taught(tmp_path / "broken", **sent)


def test_classes_of_sequences_in_a_file(clips, taught, model):
    classes = Classes.load(taught)
    assert tuple(classes.heads) == ("sequences",)
    assert classes.names == KINDS
    shown = read_sequences(clips)
    found = model.recognise_sequences([one.path for one in shown], classes)
    assert found.names == tuple(one.name for one in shown)
    assert len(found) == len(found.confidences) == len(shown)
    assert torch.allclose(found.probabilities.sum(1), torch.ones(len(shown)))
    images = [read_image(frame.path) for frame in frames_of(shown[2].path)]
    alone = model.recognise_sequences([images], classes)
    assert torch.allclose(alone.probabilities[0], found.probabilities[2], atol=1e-4)
    assert len(model.recognise_sequences([], classes)) == 0


def test_any_frames_are_a_sequence(taught, model):
    """One frame, frames of different sizes, frames without a thing."""
    classes, drawn = Classes.load(taught), draw_sequence(42, 0, 3, 64)
    bare = np.full((48, 64, 3), 120, np.uint8)
    odd = [drawn.frames[0][:50], drawn.frames[1], drawn.frames[2][:, :56]]
    found = model.recognise_sequences([[drawn.frames[0]], odd, [bare, bare]], classes)
    assert found.probabilities.isfinite().all()
    with pytest.raises(UsageError, match="one frame or more"):
        model.recognise_sequences([[]], classes)


def test_what_cannot_be_taught(clips, taught, model):
    with pytest.raises(UsageError, match="all examples are of 'pass'"):
        model.teach([one for one in read_sequences(clips) if one.name == "pass"], heads="sequences")
    with pytest.raises(UsageError, match="not taught by mirror images"):
        model.teach(clips, heads="sequences", flip=True)
    with pytest.raises(UsageError, match="with --for sequences"):
        model.teach(clips, add_to=Classes.load(taught))
    with pytest.raises(UsageError, match="taught for sequences and not for regions"):
        model.recognise(np.zeros((32, 32, 3), np.uint8), None, Classes.load(taught))
    with pytest.raises(UsageError, match="tells no things from what they stand on"):
        _ = densevl.load("mini-maskclip", device="cpu", lazy=True).sequences


def test_a_report_shows_frames(clips, taught, model, tmp_path):
    classes = Classes.load(taught)
    wrong = [one if index else type(one)(one.path, "strange") for index, one in enumerate(read_sequences(clips))]
    found = CheckJob(model, classes, taught, tmp_path, 0.5).run(wrong, str(clips))
    data = json.loads((tmp_path / "check.json").read_text(encoding="utf-8"))
    assert data["heads"]["sequences"]["known"] == len(wrong) - 1
    assert data["test"]["unknown_names"] == ["strange"]
    assert len(found["sequences"].scores.labels) == len(wrong)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "strange" in page


def test_from_the_command_line(clips, tmp_path, capsys):
    out = tmp_path / "near.safetensors"
    arguments = [
        "--model",
        "mini",
        "--set",
        "short_side=96",
        "--for",
        "sequences",
        "--every",
        "2",
        "--report",
        str(tmp_path / "report"),
    ]
    assert main(["teach", str(clips), "--out", str(out), *arguments]) == 0
    assert "sequences: gda-prior" in capsys.readouterr().out
    assert (tmp_path / "report" / "examples.png").stat().st_size > 1000
    asked = [str(clips / "pass" / "0"), str(clips / "collision" / "1")]
    assert main(["recognise", *asked, "--classes", str(out), "--out", str(tmp_path / "found.json")]) == 0
    answers = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert [one["sequence"] for one in answers] == asked
    assert [one["name"] for one in answers] == ["pass", "collision"]
    assert all(sum(one["probabilities"].values()) == pytest.approx(1, abs=1e-4) for one in answers)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["teach", "{clips}", "--for", "sequences", "--views", "2"], "--views says nothing of sequences"),
        (["teach", "{clips}", "--every", "2"], "give it with --for sequences"),
        (["recognise", "{clips}/gone", "--classes", "{taught}"], "there is no sequence at"),
        (["check", "{taught}", "{clips}/gone", "--report", "report"], "there are no sequences at"),
    ],
)
def test_errors_of_the_command_line(clips, taught, tmp_path, capsys, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    words = [word.format(clips=clips, taught=taught) for word in arguments]
    out = ["--out", "x.safetensors", "--model", "mini"] if words[0] == "teach" else []
    assert main([*words, *out]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
