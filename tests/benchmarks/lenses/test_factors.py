"""Answers by properties of things."""

import json

import numpy as np
import pytest
import torch

from densevl.benchmarks.lenses.factors import OF_IMAGES, OF_SCENES, Factors, covered_shares, overlaps
from densevl.benchmarks.lenses.source import LabelledImage, Source
from densevl.core.drawing.overlay import write_image
from densevl.core.regions import Regions
from densevl.datasets.scenes import render

LENS = Factors()


def test_bins_of_scenes_follow_their_truth(mini):
    image = LENS.gather(mini, Source(scenes=1, seed=101)).images[0]
    items, regions = image.scene.objects, image.place((128, 128))
    bins = {name: factor.of(image, regions) for name, factor in OF_SCENES.items()}
    for number, item in enumerate(items):
        named = {name: OF_SCENES[name].bins[own[number]] for name, own in bins.items()}
        assert (named["size"], named["colour"], named["shape"], named["ground"]) == (
            item.size, item.colour, item.shape, item.ground,
        )  # fmt: skip
        assert (named["hidden by others"] == "nothing") == (item.visible > 0.999)
        assert (named["cut by the border"] == "more") == (item.uncut <= 0.5)


def test_bins_of_images_follow_their_boxes():
    boxes = [[0, 0, 20, 20], [100, 100, 140, 200], [120, 100, 160, 200], [280, 280, 299.5, 290]]
    regions = Regions.from_boxes(boxes, (300, 300))
    image = LabelledImage(
        "any", lambda: np.zeros((300, 300, 3), np.uint8), ("a", "b", "c", "d"), lambda _: regions, False
    )
    bins = {name: [factor.bins[own] for own in factor.of(image, regions)] for name, factor in OF_IMAGES.items()}
    assert bins["size"] == ["small", "medium", "medium", "small"]
    assert bins["position"] == ["top left", "middle centre", "middle centre", "bottom right"]
    assert bins["cut by the border"] == ["yes", "no", "no", "yes"]
    assert bins["covered by another box"] == ["nothing", "more", "more", "nothing"]


def test_shares_of_boxes_that_others_cover():
    boxes = np.array([[0.0, 0, 10, 10], [5, 0, 15, 10], [0, 0, 4, 5], [50, 50, 60, 60]])
    assert covered_shares(boxes).tolist() == [0.5, 0.5, 1.0, 0.0]
    assert covered_shares(boxes[:1]).tolist() == [0.0]


def test_overlaps_are_of_the_own_class_inside_the_box():
    masks = torch.zeros(2, 6, 8, dtype=torch.bool)
    masks[0, 0:4, 0:4], masks[1, 0:4, 4:8] = True, True
    answer = np.full((6, 8), 9)
    answer[0:2, 0:4] = 3  # half of the first
    answer[4:6] = 3  # below the boxes: not counted
    regions = Regions(torch.tensor([[0.0, 0, 4, 4], [3.0, 0, 8, 4]]), (6, 8), masks)
    assert overlaps(answer, np.array([3, 3]), regions).tolist() == [0.5, 0.0]
    answer[0:4, 3:8] = 3  # all of the second, and a column of the first, which does not count against it
    assert overlaps(answer, np.array([3, 3]), regions)[1] == 1.0
    assert overlaps(answer, np.array([4, 3]), regions)[1] == pytest.approx(16 / 20)


def test_figures_of_scenes_by_all_factors(mini):
    found = LENS.examine(mini, LENS.gather(mini, Source(scenes=2, seed=101)))
    for head in ("regions", "pixels"):
        things = found.values[head]["things"]
        for bins in found.values[head]["factors"].values():
            assert sum(one["count"] for one in bins) == things
            mean = sum(one["count"] * (one["mean"] or 0) for one in bins) / things
            assert mean == pytest.approx(found.values[head]["mean"])
    assert len(found.plots) == len(OF_SCENES)
    assert len(found.tables) == 2 * len(OF_SCENES)


def test_labelled_images_have_the_factors_of_their_boxes(mini, tmp_path):
    scene = render(101, 0, 128, "val")
    write_image(tmp_path / "scene.png", scene.image)
    records = [{"image": "scene.png", "box": item.box, "name": item.name} for item in scene.objects]
    (tmp_path / "test.json").write_text(json.dumps(records))
    found = LENS.examine(mini, LENS.gather(mini, Source(tmp_path / "test.json")))
    assert list(found.values) == ["regions"]
    assert list(found.values["regions"]["factors"]) == list(OF_IMAGES)
    assert found.values["regions"]["things"] == len(scene.objects)
