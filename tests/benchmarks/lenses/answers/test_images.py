"""Scores of single images, worked out by hand, and their files."""

import csv
import json

import pytest
import torch

from densevl.benchmarks.lenses.answers.images import PerImage, write_images
from densevl.core.errors import UsageError


def sample(name, truth, labels):
    fields = {"gt_sem_seg": truth, "pred_sem_seg": labels}
    return {"img_path": name, **{field: {"data": torch.tensor([[data]])} for field, data in fields.items()}}


def section():
    samples = [
        sample("all.png", [0, 1, 7], [0, 1, 7]),
        sample("half.png", [0, 0, 1, 255], [0, 2, 0, 3]),  # IoU: 1/3 of 0, 0 of 1, 0 of 2; 3 lies on ignored pixels
        sample("unlabelled.png", [255], [0]),
    ]
    lens = PerImage()
    return lens.section([lens.measure(one) for one in samples], {})


def test_scores_of_label_maps():
    found = section()
    assert found.values["figures"] == ["mIoU", "pixel accuracy"]
    assert [row["image"] for row in found.values["images"]] == ["all.png", "half.png", "unlabelled.png"]
    assert [row["mIoU"] for row in found.values["images"]] == [100, pytest.approx(100 / 9), None]
    assert [row["pixel accuracy"] for row in found.values["images"]] == [100, pytest.approx(100 / 3), None]
    assert found.lines == ["3 images, mean mIoU 55.56, mean pixel accuracy 66.67"]


def test_files(tmp_path):
    found = section()
    write_images(tmp_path / "a.json", found)
    assert json.loads((tmp_path / "a.json").read_text()) == found.values["images"]
    write_images(tmp_path / "a.csv", found)
    with (tmp_path / "a.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {"image": "all.png", "mIoU": "100.0", "pixel accuracy": "100.0"}
    assert rows[2] == {"image": "unlabelled.png", "mIoU": "", "pixel accuracy": ""}


def test_another_task():
    with pytest.raises(UsageError, match="the lens 'per-image' has no figure for an image of this benchmark"):
        PerImage().measure({"img_path": "a.png"})
