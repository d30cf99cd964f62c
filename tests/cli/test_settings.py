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


def command(name, *words, out):
    return [name, *map(str, words), "--model", "mini-maskclip", "--out", str(out)]


def test_segment_refuses_another_setting_and_begins_anew_where_that_is_wanted(image, tmp_path, capsys):
    again = command("segment", image, "grass, brick, red square", out=tmp_path / "out")
    run(capsys, *again)
    assert "1 done before" in run(capsys, *again)
    for setting in SETTINGS[:2]:
        changed = [*again, "--set", setting]
        assert main(changed) == 2, setting
        assert "--overwrite" in capsys.readouterr().err
        assert "done before" not in run(capsys, *changed, "--overwrite")
        assert "1 done before" in run(capsys, *changed)
        run(capsys, *again, "--overwrite")


def test_embed_begins_anew_with_another_setting(image, tmp_path, capsys):
    again = command("embed", image, "--regions", "whole", out=tmp_path / "out")
    run(capsys, *again)
    assert "1 done before" in run(capsys, *again)
    for setting in SETTINGS[:2]:
        assert "1 done before" not in run(capsys, *again, "--set", setting), setting
        assert "1 done before" in run(capsys, *again, "--set", setting), setting


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
