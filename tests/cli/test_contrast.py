"""``densevl contrast``, and one class asked for alone on the command line."""

import json

import pytest
from PIL import Image

from densevl.cli import main
from densevl.datasets.scenes import render


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("scene") / "scene.png"
    Image.fromarray(render(11, 5, 128, "val").image).save(path)
    return path


def test_one_class_has_something_to_contrast_with(picture, tmp_path, capsys):
    assert main(["segment", str(picture), "purple star", "--model", "mini", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr()
    (line,) = [line for line in said.err.splitlines() if "purple star" in line]
    assert "one class, compared with" in line
    assert "--background none" in line
    areas = {line.split()[1]: float(line.split()[0].rstrip("%")) for line in said.out.splitlines()[:2]}
    assert 0 < areas["purple"] < 10
    assert "contrast:scenes" in json.loads((tmp_path / "job.json").read_text())["protocol"]["single"]


def test_without_a_background_it_gets_every_pixel(picture, tmp_path, capsys):
    arguments = ["segment", str(picture), "purple star", "--model", "mini", "--background", "none"]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(" 100.0%  purple star")
    assert "which every pixel gets" in said.err


def test_words_of_captions_of_ones_own(picture, tmp_path, capsys):
    (tmp_path / "captions.txt").write_text("a purple star on water\na ring on water\n")
    (tmp_path / "words.txt").write_text("purple star\nwater\nring\nsand\n")
    out = tmp_path / "mine.json"
    arguments = ["contrast", str(tmp_path / "captions.txt"), "--words", str(tmp_path / "words.txt"), "--out", str(out)]
    assert main(arguments) == 0
    assert "3 of 4 words stand in 2 captions" in capsys.readouterr().out
    written = json.loads(out.read_text())
    assert written["source"] == "captions of captions.txt"
    assert written["words"] == ["water", "purple star", "ring"]
    assert written["together"] == {
        "water": {"purple star": 1, "ring": 1},
        "purple star": {"water": 1},
        "ring": {"water": 1},
    }
    asked = ["segment", str(picture), "purple star", "--model", "mini", "--background", f"contrast:{out}"]
    assert main([*asked, "--out", str(tmp_path / "out")]) == 0
    assert " background" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("captions", "message"), [("", "there are none"), ("nothing known here at all", "none of the")]
)
def test_captions_of_no_use_are_one_error(tmp_path, capsys, captions, message):
    (tmp_path / "captions.txt").write_text(captions)
    assert main(["contrast", str(tmp_path / "captions.txt"), "--out", str(tmp_path / "out.json")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out.json").exists()
