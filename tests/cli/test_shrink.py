"""``densevl shrink``, and the file that it writes in the hands of another command."""

import json
from pathlib import Path

import pytest
from PIL import Image

from densevl.cli import main


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    out = tmp_path_factory.mktemp("small") / "small.safetensors"
    assert main(["shrink", "mini-maskclip", "--depth", "3", "--text-depth", "2", "--out", str(out)]) == 0
    return out


def test_what_was_written_segments(small, root, tmp_path, capsys):
    image = root / "demo" / "images" / "garden.png"
    arguments = ["segment", str(image), "red circle, grass", "--model", "mini-maskclip", "--weights", str(small)]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    assert Image.open(tmp_path / "garden.labels.png").size == Image.open(image).size
    assert json.loads(small.with_suffix(".json").read_text())["text_cfg"]["layers"] == 2
    capsys.readouterr()


def test_parts_that_matter_on_images(root, tmp_path, capsys):
    out, image = tmp_path / "m.safetensors", root / "demo" / "images" / "garden.png"
    assert main(["shrink", "mini-maskclip", "--width", "96", "--images", str(image), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "image tower: 2.91 →" in said
    assert "text tower: 0.77 → 0.77" in said
    assert f"--weights {out}" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--width", "100"], "whole heads of 48, one of 48, 96, 144, 192; got 100"),
        (["--depth", "9"], "depth must be from 1 to 4"),
        (["--text-width", "33"], "whole heads of 32"),
        ([], "nothing is taken away"),
        (["--depth", "2", "--texts", "none.txt"], "name some"),
        (["--depth", "2", "--images", "nowhere.png"], "no such file"),
    ],
)
def test_bad_input(arguments, message, tmp_path, capsys):
    out = tmp_path / "small.safetensors"
    assert main(["shrink", "mini-maskclip", *arguments, "--out", str(out)]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_model_without_a_clip(tmp_path, capsys):
    pytest.importorskip("efficientnet_lite_pytorch", reason="the weights of the model photo come with it")
    assert main(["shrink", "photo", "--depth", "2", "--out", str(tmp_path / "p.safetensors")]) == 2
    assert "no CLIP" in capsys.readouterr().err


def test_files_are_not_replaced(small, capsys):
    before = Path(small).read_bytes()
    assert main(["shrink", "mini-maskclip", "--depth", "2", "--out", str(small)]) == 2
    assert "exists" in capsys.readouterr().err
    assert Path(small).read_bytes() == before
