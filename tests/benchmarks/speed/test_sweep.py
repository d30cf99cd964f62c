import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from densevl.api.models import model_entry
from densevl.benchmarks.speed import benchmark, configured_segmentor, parse_size
from densevl.core.errors import UsageError


def test_a_model_is_compared_with_the_plain_implementation() -> None:
    report = benchmark("mini", "rule", classes=12, size=(64, 90), count=2, repetitions=1, short_side=64)
    assert list(report.figures) == ["plain float32", "densevl float32", "densevl bfloat16"]
    assert report.figures["densevl float32"].agreement > 0.999
    assert report.figures["densevl bfloat16"].agreement > 0.7
    assert report.setting["classes"] == 12
    assert report.setting["size"] == "64×90"
    assert report.setting["encoder"] == "mini-clip@random:0"


def test_more_classes_than_names() -> None:
    report = benchmark(
        "mini", "rule", classes=300, size=(32, 40), dtypes=["float32"], count=1, repetitions=1, window=None
    )
    assert report.figures["densevl float32"].agreement > 0.999


def test_the_tool(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 70, 3), np.uint8)).save(tmp_path / "noise.png")
    options = ["--weights", "rule", "--classes", "5", "--images", str(tmp_path), "--repetitions", "1", "--window", "64"]
    arguments = [
        "benchmark.py",
        "mini",
        *options,
        "--stride",
        "64",
        "--dtype",
        "float32",
        "--json",
        str(tmp_path / "a.json"),
    ]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(root / "tools" / "benchmark.py"), run_name="__main__")
    assert not end.value.code
    saved = json.loads((tmp_path / "a.json").read_text())
    assert saved["setting"]["size"] == "50×70"
    assert saved["setting"]["window"] == 64
    assert list(saved["pipelines"]) == ["plain float32", "densevl float32"]
    assert "same labels" in capsys.readouterr().out


def test_weights_by_rule_are_the_same_every_time() -> None:
    first, second = (configured_segmentor("mini", "rule").state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_protocol_is_that_of_the_model() -> None:
    assert configured_segmentor("mini", "rule").short_side == model_entry("mini").segmentor["short_side"]
    assert configured_segmentor("mini", "rule", window=None).window is None


def test_an_unknown_config() -> None:
    with pytest.raises(UsageError, match="no_such_thing"):
        configured_segmentor("no_such_thing", "rule")


def test_sizes() -> None:
    assert parse_size("512x683") == parse_size("512×683") == (512, 683)
    for wrong in ("512", "0x5", "axb", "5x", "-1x4"):
        with pytest.raises(UsageError, match="HEIGHTxWIDTH"):
            parse_size(wrong)
