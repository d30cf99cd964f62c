"""The commands say which images are not of the kind that their model knows."""

import json

import numpy as np
import pytest
from PIL import Image

from densevl.cli import main
from densevl.datasets.scenes import render


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A scene, and random pixels."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(render(3, 0, (96, 128), count=(2, 3)).image).save(folder / "scene.png")
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "noise.png")
    return folder


def test_segment_marks_them_in_their_records(photos, capsys):
    command = ["segment", "photos", "ring, grass", "--model", "mini-maskclip"]
    for arguments in ([], ["--unknown"]):  # the second time nothing is left to do
        assert main([*command, *arguments]) == 0
        printed = capsys.readouterr()
        assert (
            "1 of 2 images do not look like the drawn scenes that mini-maskclip knows: photos/noise.png" in printed.err
        )
        assert "take a model of photos: photo, or a CLIP such as dinoiser" in printed.err
    assert "0 segmented, 2 done before" in printed.out
    records = {
        name: json.loads((photos.parent / "out" / f"{name}.record.json").read_text()) for name in ("noise", "scene")
    }
    assert records["noise"]["familiarity"] == {"p": 0.001, "known": "drawn scenes", "unknown": True}
    assert records["scene"]["familiarity"]["unknown"] is False
    assert records["noise"]["classes"], "the labels are written all the same"


def test_refer_says_it(photos, capsys):
    command = ["photos/noise.png", "the ring", "--model", "mini", "--boxes", str(photos.parent / "boxes.json")]
    (photos.parent / "boxes.json").write_text("[[2, 2, 50, 50], [50, 40, 110, 80]]")
    assert main(["refer", *command]) == 0
    assert "noise.png does not look like the drawn scenes that mini knows (p = 0.001)" in capsys.readouterr().err
    assert json.loads((photos.parent / "out" / "noise.refer.json").read_text())["familiarity"]["unknown"] is True


def test_an_index_remembers_it_for_every_search(photos, capsys):
    model = ["--model", "mini-maskclip", "--regions", "whole"]
    said = "1 of 2 images do not look like the drawn scenes that mini-maskclip knows: photos/noise.png"
    assert main(["embed", "photos", "--out", "index", *model]) == 0
    assert said in capsys.readouterr().err
    assert main(["search", "index", "ring", "--no-sheet"]) == 0
    assert said in capsys.readouterr().err
    (photos.parent / "index" / "familiarity.json").unlink()
    assert main(["embed", "photos", "--out", "index", *model]) == 0
    printed = capsys.readouterr()
    assert "0 embedded" in printed.out
    assert said in printed.err
    assert main(["search", "index", "--like", "photos/noise.png", "--no-sheet", "--top", "1"]) == 0
    assert "photos/noise.png does not look like the drawn scenes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["segment", "photos", "ring, grass", "--model", "maskclip@mini-clip", "--unknown"],
            "model 'maskclip' ships nothing that says",
        ),
        (
            ["segment", "photos", "ring, grass", "--model", "maskclip@mini-clip", "--unknown", "photos"],
            "at least 20 images",
        ),
        (["embed", "photos", "--model", "maskclip@mini-clip", "--unknown", "none.safetensors"], "no such file"),
        (
            ["embed", "photos", "--model", "maskclip@mini-clip", "--unknown", "nowhere"],
            "no such file or folder: 'nowhere'",
        ),
    ],
)
def test_bad_usage_is_one_line_before_weights_are_fetched(photos, capsys, arguments, message):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("densevl: error: ")
    assert error.count("\n") == 1
    assert message in error
