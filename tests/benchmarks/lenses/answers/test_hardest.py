"""Figures of single images, worked out by hand."""

import json

import numpy as np
import pytest
import torch

from densevl.benchmarks.lenses.answers.hardest import Hardest
from densevl.core.errors import UsageError
from densevl.datasets.referring.annotations import Reference
from densevl.datasets.regions.annotations import AnnotatedRegion
from densevl.metrics.choices import choose
from densevl.metrics.overlaps import Answer


def pixels(name, truth, labels):
    fields = {"gt_sem_seg": truth, "pred_sem_seg": labels}
    return {"img_path": name, **{field: {"data": torch.tensor([[data]])} for field, data in fields.items()}}


def answer(*boxes):
    return Answer(np.array(boxes, float).reshape(-1, 4), reason="" if boxes else "nothing fits")


def regions(field):
    # the first region is right, the second ties, which is not right, the third is wrong
    cosines, truths = torch.tensor([[0.1, 0.9], [0.5, 0.5], [0.2, 0.7]]), [1, 0, 0]
    made = {"answers": choose(cosines, truths), "cosines": cosines}
    boxes = [AnnotatedRegion((0, 0, 1, 1), truth) for truth in truths]
    return {"img_path": "c.png", "regions": boxes, field: made[field]}


def test_label_maps_by_the_fraction_of_their_labelled_pixels_that_are_right():
    samples = [
        pixels("all.png", [0, 1, 2], [0, 1, 2]),
        pixels("half.png", [0, 1, 255, 255], [0, 2, 0, 0]),
        pixels("none.png", [0, 1], [1, 0]),
        pixels("unlabelled.png", [255], [0]),
        pixels("half too.png", [3, 3], [3, 4]),
    ]
    lens = Hardest(count=3)
    section = lens.section([lens.measure(sample) for sample in samples], {})
    shown = [("none.png", 0.0), ("half.png", 50.0), ("half too.png", 50.0)]
    assert section.values == {
        "figure": "pixel accuracy",
        "scored": 4,
        "mean": 50.0,
        "images": [{"image": name, "value": value} for name, value in shown],
    }
    assert section.lines == [
        "3 of 4 images by pixel accuracy, mean 50.00",
        "  0.00  none.png",
        " 50.00  half.png",
        " 50.00  half too.png",
    ]


def test_expressions_by_the_mean_iou_of_their_first_boxes():
    refs = [Reference(0, 0, (0, 0, 2, 2), ("left", "far left")), Reference(1, 1, (4, 0, 6, 2), ("right",))]
    answers = [answer((0, 0, 2, 2)), answer((0, 0, 2, 1), (0, 0, 2, 2)), answer()]
    found = Hardest().measure({"img_path": "a.png", "refs": refs, "answers": answers, "masks": False})
    assert found == ("a.png", "IoU of the first box", pytest.approx(100 * (1 + 0.5 + 0) / 3))


@pytest.mark.parametrize("field", ["answers", "cosines"])
def test_regions_by_the_fraction_that_got_their_text(field):
    assert Hardest().measure(regions(field)) == ("c.png", "region accuracy", pytest.approx(100 / 3))


def test_nothing_to_score_is_no_nan():
    lens = Hardest()
    section = lens.section([lens.measure(pixels("a.png", [255], [0]))], {})
    assert section.lines == ["0 of 0 images by pixel accuracy"]
    assert json.loads(json.dumps(section.values, allow_nan=False))["mean"] is None


def test_what_it_cannot_show():
    with pytest.raises(UsageError, match=r"no figure for an image of this benchmark; leave it out"):
        Hardest().measure({"img_path": "a.png", "given": 3})
    with pytest.raises(UsageError, match="count=0"):
        Hardest(count=0)
