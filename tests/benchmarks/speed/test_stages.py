import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from densevl.benchmarks.speed.stages import STAGES, Pipeline, Report, compare

CPU = torch.device("cpu")


def toy(name: str, labels: np.ndarray, pause: float = 0.0) -> Pipeline:
    """A pipeline that writes the name of the image and takes its time."""
    return Pipeline(
        name,
        decode=lambda path: np.frombuffer(path.read_bytes(), np.uint8),
        encode=lambda pixels: (time.sleep(pause), pixels)[1],
        label=lambda encoded: labels,
        write=lambda path, found: path.write_bytes(found.tobytes()),
    )


def test_pipelines_are_compared_with_the_first(tmp_path: Path) -> None:
    images = [tmp_path / "a", tmp_path / "b"]
    for image in images:
        image.write_bytes(b"12")
    labels = np.zeros((2, 5), int)
    other = labels.copy()
    other[0, :3] = 1
    figures = compare([toy("slow", labels, 0.2), toy("fast", other, 0.01)], images, 2, CPU)
    assert figures["slow"].speedup == figures["slow"].agreement == 1
    assert 1.5 < figures["fast"].speedup < 20
    assert figures["fast"].agreement == 0.7
    assert figures["slow"].images_per_second < 1 / 0.2
    assert set(figures["fast"].seconds) == set(figures["fast"].mebibytes) == set(STAGES)
    assert figures["fast"].seconds["encode"] >= 0.01


def test_a_report_is_printed_and_saved(tmp_path: Path) -> None:
    image = tmp_path / "a"
    image.write_bytes(b"12")
    figures = compare([toy("one", np.zeros((2, 5), int))], [image], 1, CPU)
    report = Report({"model": "toy", "threads": 1}, figures)
    assert "model toy, threads 1" in str(report)
    assert "100.0000%" in str(report)
    report.save(tmp_path / "out" / "figures.json")
    saved = json.loads((tmp_path / "out" / "figures.json").read_text())
    assert saved["setting"] == {"model": "toy", "threads": 1}
    assert saved["pipelines"]["one"]["images_per_second"] == pytest.approx(figures["one"].images_per_second)
