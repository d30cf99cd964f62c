"""A run with another setting of the readout is another run: nothing of the first counts as done, or as its figure."""

import json

import numpy as np
import pytest
from PIL import Image

from densevl.cli import main
from densevl.datasets.scenes import render

SETTINGS = ["readout.mlp=false", "readout.residual=false", "readout=naclip", "short_side=96"]


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "scene.png"
    Image.fromarray(render(1, 0, size=64, split="val").image).save(path)
    return path


def run(capsys, *arguments):
    """What a command says."""
    assert main([str(argument) for argument in arguments]) == 0
    said = capsys.readouterr()
    return said.out + said.err


@pytest.mark.parametrize(
    "command",
    [
        ("segment", "{image}", "grass, brick, red square"),
        ("embed", "{image}", "--regions", "whole"),
    ],
    ids=lambda command: command[0],
)
def test_a_run_with_another_setting_is_not_done_before(command, image, tmp_path, capsys):
    command = [word.format(image=image) for word in command]
    command += ["--model", "mini-maskclip", "--out", str(tmp_path / "out")]
    run(capsys, *command)
    assert "1 done before" in run(capsys, *command)
    for setting in SETTINGS:
        assert "1 done before" not in run(capsys, *command, "--set", setting), setting
        assert "1 done before" in run(capsys, *command, "--set", setting), setting


@pytest.mark.parametrize("setting", SETTINGS)
def test_an_evaluation_says_its_setting_and_writes_its_own_label_maps(setting, tmp_path, capsys):
    pytest.importorskip("mmseg")

    def results(name, *options):
        options = ["test_dataloader.dataset.size=64", "test_dataloader.num_workers=0", *options]
        places = ["--out", tmp_path / "maps", "--work-dir", tmp_path / name]
        run(capsys, "test", "maskclip_scenes", "--limit", "2", *places, "--cfg-options", *options)
        maps = [np.array(Image.open(path)) for path in sorted((tmp_path / "maps").iterdir())]
        return json.loads((tmp_path / name / "results.json").read_text()), maps

    first, maps = results("first")
    second, others = results("second", f"model.{setting}")
    assert first["protocol"] != second["protocol"]
    assert first["scores"] != second["scores"]
    assert any((one != other).any() for one, other in zip(maps, others, strict=True))
