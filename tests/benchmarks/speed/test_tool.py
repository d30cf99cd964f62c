"""``tools/benchmark.py`` as its users run it, once for each kind of benchmark."""

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from densevl.benchmarks.speed import parse_size, run_benchmark
from densevl.core.errors import UsageError


@pytest.fixture
def run(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Callable[..., tuple]:
    """Run the script with arguments; its exit code and what it printed."""

    def script(*arguments: object) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["benchmark.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(root / "tools" / "benchmark.py"), run_name="__main__")
        printed = capsys.readouterr()
        return end.value.code, printed.out, printed.err

    return script


def test_a_model(run: Callable[..., tuple], tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 70, 3), np.uint8)).save(tmp_path / "noise.png")
    options = ["--weights", "rule", "--classes", 5, "--images", tmp_path, "--repetitions", 1, "--window", 64]
    code, printed, _ = run("mini", *options, "--stride", 64, "--dtype", "float32", "--json", tmp_path / "a.json")
    assert not code
    saved = json.loads((tmp_path / "a.json").read_text())
    assert saved["setting"]["size"] == "50×70"
    assert saved["setting"]["window"] == 64
    assert list(saved["pipelines"]) == ["plain float32", "densevl float32"]
    assert "same labels" in printed


def test_visual_prompts(run: Callable[..., tuple]) -> None:
    options = ["--count", 2, "--size", "40x60", "--short-side", 24, "--repetitions", 1]
    code, printed, _ = run("visual-prompts", "--prompts", "crop", "blur_mask", *options)
    assert not code
    assert "| crop + blur_mask |" in printed
    code, _, error = run("visual-prompts", "--prompts", "blur_maks")
    assert code == 2
    assert error.startswith("error: ")


def test_regions(run: Callable[..., tuple]) -> None:
    code, printed, _ = run("regions", "--arch", "mini-clip", "--counts", 1, 2, "--size", "48x64", "--repetitions", 1)
    assert not code
    assert printed.startswith("| regions | 1 | 2 |")


@pytest.mark.parametrize("name", ["regions", "visual-prompts"])
def test_an_option_of_another_benchmark(name: str) -> None:
    with pytest.raises(UsageError, match=f"{name} takes no option 'weights'"):
        run_benchmark(name, weights="rule")


def test_sizes() -> None:
    assert parse_size("512x683") == parse_size("512×683") == (512, 683)
    for wrong in ("512", "0x5", "axb", "5x", "-1x4"):
        with pytest.raises(UsageError, match="HEIGHTxWIDTH"):
            parse_size(wrong)


@pytest.mark.slow
def test_many_files_and_the_start() -> None:
    table = run_benchmark("files", counts=[2, 4])
    assert [name for name, _ in table.rows] == ["2", "4"]
    assert all(figure > 0 for _, figures in table.rows for figure in figures)
    [(name, figures)] = run_benchmark("start", models=["mini-maskclip"], repetitions=1).rows
    assert name == "mini-maskclip"
    *steps, whole, _ = map(float, figures)
    assert abs(sum(steps) - whole) < 0.05
