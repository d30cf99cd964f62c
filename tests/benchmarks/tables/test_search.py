"""The table of searches: its rows, and by hand what chance would find."""

import pytest
import torch
from torchvision.ops import box_iou

from densevl.benchmarks.tables import measure, search
from densevl.core.errors import UsageError
from densevl.datasets.scenes import render


def test_rows_and_chance(monkeypatch):
    monkeypatch.setattr(search, "QUERIES", 6)
    table = measure("search", 3)
    figures = dict(table.rows)
    assert list(figures) == [*search.EMBEDDERS, "chance", "any region is right"]
    assert all(0 <= value <= 100 for values in figures.values() for value in values)
    assert figures["any region is right"][0] == 100, "each text is true of some object"
    scenes = [render(search.SEED, index, search.SIZE, "val") for index in range(3)]
    fractions = []
    for query in search.draw_queries(scenes):
        right = []
        for scene in scenes:
            boxes = torch.tensor([item.box for item in scene.objects]).float()
            true = torch.tensor([query.matches(item) for item in scene.objects])
            right += ((box_iou(boxes, boxes) > search.RIGHT) & true).any(1).tolist()
        fractions.append(sum(right) / len(right))
    assert figures["chance"][0] == pytest.approx(100 * sum(fractions) / len(fractions))


def test_too_few_scenes():
    with pytest.raises(UsageError, match="take more, for 200"):
        measure("search", 1)
