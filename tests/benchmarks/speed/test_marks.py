import runpy
import sys

import pytest

from densevl.benchmarks.speed.marks import benchmark


def test_every_way_is_measured():
    sets = (("blur_mask",), ("crop", "circle"))
    timings = benchmark(sets, count=3, image_size=(48, 64), size=32, repetitions=1)
    assert [timing.name for timing in timings] == ["blur_mask", "crop + circle"]
    assert all(min(timing.one_by_one, timing.compatible, timing.default) > 0 for timing in timings)


def test_the_tool(root, monkeypatch, capsys):
    options = [
        "--prompts",
        "crop",
        "blur_mask",
        "--count",
        "2",
        "--image-size",
        "40x60",
        "--size",
        "24",
        "--repetitions",
        "1",
    ]
    monkeypatch.setattr(sys, "argv", ["benchmark_marks.py", *options])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(root / "tools" / "benchmark_marks.py"), run_name="__main__")
    assert ended.value.code == 0
    assert "crop + blur_mask" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["benchmark_marks.py", "--prompts", "blur_maks"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(root / "tools" / "benchmark_marks.py"), run_name="__main__")
    assert ended.value.code == 2
