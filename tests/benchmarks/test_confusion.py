"""The confusion matrix as files, and through an evaluation."""

import csv
import json

import numpy as np
import pytest
import torch

from densevl.benchmarks.confusion import draw_confusion, write_confusion
from densevl.benchmarks.run import evaluate
from densevl.core.errors import UsageError
from densevl.core.images import read_image

MATRIX = torch.tensor([[8, 2, 0], [0, 0, 0], [1, 0, 3]])
NAMES = ("sky", "ski, and snow", "road")


def test_files(tmp_path):
    write_confusion(tmp_path / "a" / "m.csv", MATRIX, NAMES)
    with (tmp_path / "a" / "m.csv").open() as file:
        head, *rows = csv.reader(file)
    assert head == ["true \\ given", *NAMES]
    assert [row[0] for row in rows] == list(NAMES)
    assert [[int(value) for value in row[1:]] for row in rows] == MATRIX.tolist()
    assert read_image(tmp_path / "a" / "m.png").std() > 0
    write_confusion(tmp_path / "m.json", MATRIX, NAMES)
    assert json.loads((tmp_path / "m.json").read_text()) == {"classes": list(NAMES), "pixels": MATRIX.tolist()}


def test_the_picture_shows_where_the_pixels_went():
    picture = draw_confusion(MATRIX.numpy(), NAMES)
    turned = draw_confusion(MATRIX.numpy().T, NAMES)
    assert picture.shape == turned.shape
    assert (picture != turned).any()
    many = draw_confusion(np.eye(171, dtype=np.int64), [f"class {i}" for i in range(171)])
    assert many.shape[0] > 2 * picture.shape[0]


OPTIONS = {"weights": "random:0", "test_dataloader.num_workers": 0, "model.templates": "none"}
SCENES = {**OPTIONS, "test_dataloader.dataset.length": 3, "test_dataloader.dataset.size": 64}


def test_an_evaluation_writes_them(tmp_path):
    places = {"confusion": tmp_path / "m.json", "per_image": tmp_path / "i.csv"}
    report = evaluate("maskclip_scenes", work_dir=tmp_path, options=SCENES, lenses=["per-image"], **places)
    pixels = torch.tensor(json.loads((tmp_path / "m.json").read_text())["pixels"])
    assert pixels.sum() == 3 * 64 * 64
    assert 100 * pixels.diagonal().sum() / pixels.sum() == pytest.approx(report.scores.pixel_accuracy, abs=1e-3)
    with (tmp_path / "i.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == [f"scenes/{index:06d}.png" for index in range(3)]
    mean = sum(float(row["pixel accuracy"]) for row in rows) / 3  # images of one size
    assert mean == pytest.approx(report.scores.pixel_accuracy)
    plain = evaluate("maskclip_scenes", work_dir=tmp_path, options=SCENES)
    assert plain.scores.as_dict() == report.scores.as_dict()


@pytest.mark.parametrize(
    ("config", "places", "message"),
    [
        ("maskclip_scenes", {"confusion": "m.txt"}, "confusion is written as .csv or .json; got 'm.txt'"),
        ("maskclip_scenes", {"per_image": "i"}, "per_image is written as .csv or .json; got 'i'"),
        ("fgvp_refer_scenes", {"confusion": "m.csv"}, "counts no confusion of classes"),
    ],
)
def test_what_cannot_be_written(tmp_path, monkeypatch, config, places, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        evaluate(config, work_dir=tmp_path, limit=1, options={"test_dataloader.num_workers": 0}, **places)
    assert not list(tmp_path.glob("[mi]*"))
