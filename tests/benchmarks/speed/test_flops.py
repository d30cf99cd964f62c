"""Operations beside the formulas of a ViT."""

import json

import pytest
import torch

from densevl.api.loading import load
from densevl.benchmarks.speed.flops import count_flops
from densevl.cli import main


@pytest.fixture(scope="module")
def model():
    return load("mini-maskclip", weights="random:0", device="cpu")


def expected(model, side, classes):
    """Products of the stem, the blocks, the head and the classes, by hand; of the last block, the values alone."""
    encoder = model.segmentor.encoder
    width, grid = encoder.width, side // encoder.patch_size
    tokens = grid * grid + 1
    stem = 0
    size = side
    for layer in (module for module in encoder.model.visual.conv1.modules() if isinstance(module, torch.nn.Conv2d)):
        size //= layer.stride[0]
        stem += 2 * layer.weight.numel() * size * size
    block = 2 * tokens * 12 * width**2
    attention = 4 * tokens**2 * width
    last = 2 * tokens * 10 * width**2  # values, output and two layers of the MLP; neither queries nor keys
    joint = 2 * grid * grid * width * encoder.dim
    return stem, (encoder.depth - 1) * (block + attention), last, joint, 2 * grid * grid * encoder.dim * classes


def test_as_the_formulas_say(model):
    side = model.segmentor.short_side
    stem, blocks, last, joint, label = expected(model, side, 70)
    flops = count_flops(model, (side, side), 70)
    assert flops.encode == pytest.approx(stem + blocks + last + joint, rel=0.01)
    assert flops.label >= label
    assert sum(flops.by_operator.values()) == flops.total
    assert flops.parameters == sum(parameter.numel() for parameter in model.segmentor.parameters())


def test_more_classes_cost_more_labelling_alone(model):
    few, many = count_flops(model, (64, 96), 10), count_flops(model, (64, 96), 20)
    assert few.encode == many.encode
    assert few.label < many.label


def test_the_command(tmp_path, capsys):
    file = tmp_path / "cost.json"
    assert main(["cost", "--model", "mini", "--size", "64x96", "--classes", "7", "--json", str(file)]) == 0
    saved = json.loads(file.read_text())
    assert (saved["size"], saved["classes"]) == ([64, 96], 7)
    shown = capsys.readouterr().out
    assert f"total       {saved['total'] / 1e9:.3f} GFLOPs" in shown
    assert "64×96, 7 classes" in shown


def test_what_cannot_be_counted(capsys):
    assert main(["cost", "--model", "mini", "--size", "64"]) == 2
    assert "write a size as HEIGHTxWIDTH" in capsys.readouterr().err


def test_the_command_measures_time_and_memory(tmp_path, capsys):
    file = tmp_path / "cost.json"
    given = ["cost", "--model", "mini-maskclip", "--size", "64x96", "--classes", "7", "--measure", "2"]
    assert main([*given, "--json", str(file)]) == 0
    used = json.loads(file.read_text())["used"]
    assert (used["device"], used["repetitions"]) == ("cpu", 2)
    assert 0 < used["processor"] < 60
    assert used["seconds"] > 0
    assert used["peak"] > 50e6
    shown = capsys.readouterr().out
    assert "s of the processor (cpu, median of 2)" in shown
    assert "GB at the peak, weights included" in shown
