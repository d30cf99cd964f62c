import runpy
import sys

import pytest

from densevl.visual_prompts.speed import benchmark


def test_every_way_is_measured_and_summed_up():
    timings = benchmark(("blur_mask", "circle"), count=3, image_size=(48, 64), size=32, repetitions=1)
    assert [timing.name for timing in timings] == ["blur_mask", "circle", "together"]
    for way in ("one_by_one", "compatible", "default"):
        *parts, total = (getattr(timing, way) for timing in timings)
        assert total == pytest.approx(sum(parts))
        assert min(parts) > 0


def test_the_tool(root, monkeypatch, capsys):
    options = ["--prompts", "crop", "--count", "2", "--image-size", "40x60", "--size", "24", "--repetitions", "1"]
    monkeypatch.setattr(sys, "argv", ["benchmark_marks.py", *options])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(root / "tools" / "benchmark_marks.py"), run_name="__main__")
    assert ended.value.code == 0
    assert "together" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["benchmark_marks.py", "--prompts", "blur_maks"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(root / "tools" / "benchmark_marks.py"), run_name="__main__")
    assert ended.value.code == 2
