"""Checking taught classes from examples to the page, by the mini models on a few scenes."""

import json
import re

import numpy as np
import pytest
from PIL import Image

import densevl
from densevl import Classes, UsageError
from densevl.api.jobs.check import CheckJob
from densevl.cli import main
from densevl.datasets.examples import read_examples
from densevl.datasets.scenes import render

STRANGE = "ring"


def drawn(folder, seed, scenes, without=()):
    """A list of the shapes of scenes, as boxes."""
    folder.mkdir()
    records = []
    for index in range(scenes):
        scene = render(seed, index, split="val")
        Image.fromarray(scene.image).save(folder / f"{index}.png")
        for item in scene.objects:
            if item.shape not in without:
                name = "<b>star</b>" if item.shape == "star" else item.shape
                records.append({"image": f"{index}.png", "name": name, "box": [int(side) for side in item.box]})
    (folder / "examples.json").write_text(json.dumps(records), encoding="utf-8")
    return folder / "examples.json"


@pytest.fixture(scope="module")
def model():
    return densevl.load("mini", device="cpu", lazy=True)


@pytest.fixture(scope="module")
def taught(tmp_path_factory, model):
    """The file of classes that were taught by eight scenes, and examples of six others."""
    folder = tmp_path_factory.mktemp("check")
    classes = model.teach(drawn(folder / "teach", 70, 8, (STRANGE,)), views=1)
    classes.save(folder / "classes.safetensors")
    return folder / "classes.safetensors", drawn(folder / "test", 71, 6)


@pytest.fixture(scope="module")
def report(tmp_path_factory, model, taught):
    path, test = taught
    out = tmp_path_factory.mktemp("report")
    found = CheckJob(model, Classes.load(path), path, out, 0.1).run(read_examples(test), str(test))
    return out, found["regions"]


def test_the_figures_are_those_of_the_answers(report):
    out, checked = report
    data = json.loads((out / "check.json").read_text(encoding="utf-8"))
    figures = data["heads"]["regions"]
    assert data["test"]["unknown_names"] == [STRANGE]
    answers = figures["answers"]
    assert len(answers) == figures["known"] + figures["unknown"] == data["test"]["examples"]
    known = [one for one in answers if one["truth"] != STRANGE]
    assert figures["accuracy"] == pytest.approx(np.mean([one["truth"] == one["answer"] for one in known]))
    called = figures["called_unknown"]
    assert called["known_called_unknown"] == pytest.approx(np.mean([one["unknown"] for one in known]))
    assert 0 <= figures["sets"]["covered"] <= 1
    assert figures["out_of_distribution"]["auroc"] > 0.7
    assert len(answers[0]["neighbours"]) == 3
    assert checked.limit == called["limit"]
    assert "held_out" in figures["facts"]


def test_the_page_is_whole_and_reads_no_name_as_markup(report):
    out, _ = report
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "<b>star</b>" not in page
    assert "&lt;b&gt;star&lt;/b&gt;" in page
    assert "{{" not in page

    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert links
    assert all((out / link).is_file() for link in links)
    assert "http" not in "".join(links)


def test_the_command_says_what_it_found(taught, tmp_path, capsys):
    path, test = taught
    assert main(["check", str(path), str(test), "--report", str(tmp_path / "report"), "--unknown", "0.2"]) == 0
    said = capsys.readouterr().out
    assert "examples are right (ECE" in said
    assert "of the known are called unknown" in said
    assert said.splitlines()[-1] == str(tmp_path / "report" / "index.html")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda path, test, own: (own / "none.safetensors", test), "there is no file"),
        (lambda path, test, own: (test, test), "holds no taught classes"),
        (lambda path, test, own: (_cut(path, own), test), "damaged"),
        (lambda path, test, own: (path, own), "no image of a class|no example|there"),
        (lambda path, test, own: (path, _named(test, own, "moth")), "no example is of a class that was taught"),
    ],
)
def test_what_cannot_be_checked(change, said, taught, tmp_path, capsys):
    classes, test = change(*taught, tmp_path)
    assert main(["check", str(classes), str(test), "--report", str(tmp_path / "report")]) in (1, 2)
    found = capsys.readouterr().err
    assert len(found.strip().splitlines()) == 1
    assert any(part in found for part in said.split("|"))
    assert not (tmp_path / "report").exists()


def test_a_share_that_is_none(taught, tmp_path, capsys):
    path, test = taught
    assert main(["check", str(path), str(test), "--report", str(tmp_path / "report"), "--unknown", "0.95"]) == 2
    assert "such as 0.05; got 0.95" in capsys.readouterr().err


def test_another_model_is_refused(taught, tmp_path):
    path, test = taught
    other = densevl.load("mini", device="cpu", lazy=True, embedder="mask-pooling")
    job = CheckJob(other, Classes.load(path), path, tmp_path / "report")
    with pytest.raises(UsageError, match="the classes were made for"):
        job.run(read_examples(test), str(test))
    assert not (tmp_path / "report").exists()


def test_refer_says_what_supports_its_answer(taught, tmp_path, capsys):
    path, test = taught
    image = test.parent / "0.png"
    words = ["refer", str(image), "the star", "--classes", str(path), "--unknown", "0.2", "--out", str(tmp_path)]
    assert main([*words, "--boxes", str(_boxes(test, tmp_path))]) == 0
    record = json.loads((tmp_path / "0.refer.json").read_text(encoding="utf-8"))
    assert record["calibration"]["held_out_examples"] > 0
    for region in record["expressions"][0]["regions"]:
        said = region["taught"]
        assert set(said) == {"name", "confidence", "p", "unknown", "could_be", "neighbours"}
        assert said["unknown"] == (said["p"] <= 0.2)


def test_a_share_wants_taught_classes(taught, tmp_path, capsys):
    image = taught[1].parent / "0.png"
    for words in (["segment", str(image), "star, ring"], ["refer", str(image), "the star"]):
        assert main([*words, "--model", "mini", "--unknown", "0.05", "--out", str(tmp_path)]) == 2
        assert "--unknown 0.05 is a share of what classes were taught by" in capsys.readouterr().err


def _cut(path, folder):
    (folder / "cut.safetensors").write_bytes(path.read_bytes()[:-100])
    return folder / "cut.safetensors"


def _named(test, folder, name):
    records = [{**one, "name": name, "image": str(test.parent / one["image"])} for one in json.loads(test.read_text())]
    (folder / "named.json").write_text(json.dumps(records))
    return folder / "named.json"


def _boxes(test, folder):
    boxes = [one["box"] for one in json.loads(test.read_text()) if one["image"] == "0.png"]
    (folder / "boxes.json").write_text(json.dumps(boxes))
    return folder / "boxes.json"
