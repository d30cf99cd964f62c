"""``densevl tune --sessions``: what cannot be used is said in one line, before a model is loaded."""

import json

import pytest
from toys.sessions import NAMES, colour_images

from densevl.classifiers.classes import Classes
from densevl.cli import main

CROPS = 'embedder={"type": "marked-images", "visual_prompts": ["crop"], "size": 32, "mode": "keep"}'


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("colours")
    files = colour_images(folder)
    records = [{"image": str(file), "name": name} for file, name in zip(files, NAMES, strict=True)]
    (folder / "examples.json").write_text(json.dumps(records))
    (folder / "twice.json").write_text(json.dumps([["red", "blue"], ["blue", "green", "white"]]))
    (folder / "empty.json").write_text(json.dumps([["red", "blue", "green", "white"], ["pink"]]))
    return folder


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--method", "clip-svd", "--sessions", "2"], "knows no sessions"),
        (["--method", "plain", "--sessions", "1"], "two sessions or more"),
        (["--method", "plain", "--sessions", "5"], "4 classes cannot be cut into 5 sessions"),
        (["--method", "plain", "--sessions", "twice.json"], "'blue' is in session 1 and in session 2"),
        (["--method", "plain", "--sessions", "empty.json"], "session 2 has no examples"),
        (["--method", "plain", "--test", "examples.json"], "give --sessions too"),
    ],
)
def test_one_line_says_what_is_wrong(arguments, says, examples, capsys, monkeypatch):
    monkeypatch.chdir(examples)
    assert main(["tune", "examples.json", "--out", "classes.safetensors", *arguments]) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 1
    assert says in errors[0]
    assert not (examples / "classes.safetensors").exists()


def test_the_classes_of_all_sessions_come_in_one_file_with_figures_and_charts(examples, tmp_path, capsys):
    out, report, test = tmp_path / "classes.safetensors", tmp_path / "report", str(examples / "examples.json")
    arguments = ["tune", test, "--model", "mini-clip", "--set", CROPS, "--steps", "1", "--batch", "4"]
    arguments += ["--method", "vr-lwf", "--set", 'losses=[{"type": "cross-entropy"}, {"type": "vr-lwf", "strings": 4}]']
    arguments += ["--sessions", "2", "--test", test, "--report", str(report), "--out", str(out)]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "2 sessions of 2, 2 classes" in printed
    assert str(report / "sessions.png") in printed
    assert (report / "sessions.png").is_file()
    values = json.loads((report / "sessions.json").read_text())
    assert list(values["ways"]) == ["vr-lwf", "plain tuning of the same numbers", "incremental GDA"]
    assert not out.with_suffix(".tuning").exists()
    classes = Classes.load(out)
    assert classes.names == ("red", "blue", "green", "white")
    assert classes.heads["regions"].facts["sessions"] == [["red", "blue"], ["green", "white"]]
    assert main(["check", str(out), test, "--report", str(tmp_path / "check")]) == 0
