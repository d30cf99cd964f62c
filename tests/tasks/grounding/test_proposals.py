"""Proposals in every form."""

import json

import numpy as np
import pytest
import torch

from densevl.core.errors import UsageError
from densevl.core.regions import Regions
from densevl.regions.proposals import as_regions

SIZE = (60, 80)
BOXES = [[10, 20, 30, 50], [40, 5, 80, 60]]
XYWH = [[10, 20, 20, 30], [40, 5, 40, 55]]


def write(tmp_path, content):
    path = tmp_path / "boxes.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


def test_values():
    regions = Regions.from_boxes(BOXES, SIZE)
    assert as_regions(regions, SIZE) is regions
    for form in (BOXES, np.array(BOXES), torch.tensor(BOXES)):
        assert as_regions(form, SIZE).boxes.tolist() == BOXES
    masks = np.zeros((2, *SIZE), bool)
    masks[0, 20:50, 10:30] = masks[1, 5:60, 40:80] = True
    from_masks = as_regions(masks, SIZE)
    assert from_masks.boxes.tolist() == BOXES
    assert np.array_equal(from_masks.masks, masks)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (BOXES, None),
        ({"boxes": BOXES}, None),
        ({"boxes": XYWH, "form": "xywh", "scores": [0.5, 0.25]}, None),
        ([{"image_id": 7, "bbox": box, "score": s} for box, s in zip(XYWH, (0.5, 0.25), strict=True)], None),
        (
            [{"image_id": 7, "bbox": box} for box in XYWH] + [{"image_id": 8, "bbox": [0, 0, 1, 1]}],
            "COCO_val_000000000007.jpg",
        ),
        (
            {
                "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "x/b.jpg"}],
                "annotations": [{"image_id": 1, "bbox": [0, 0, 1, 1]}] + [{"image_id": 2, "bbox": b} for b in XYWH],
            },
            "b.jpg",
        ),
        ({"7": XYWH, "9": []}, "7.jpg"),
    ],
)
def test_files(tmp_path, content, name):
    regions = as_regions(write(tmp_path, content), SIZE, name)
    assert regions.boxes.tolist() == BOXES
    if "0.25" in json.dumps(content):
        assert regions.scores.tolist() == [0.5, 0.25]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ('"boxes"', "known layout|must be numbers|shape"),
        ([1, 2, 3], "shape"),
        ([{"box": [1, 2, 3, 4]}], "known layout"),
        ([[30, 20, 10, 50]], "reversed.*xywh"),
        ([[90, 20, 95, 50]], "outside"),
        ([[10, 20, 10, 50]], "empty"),
        ([["a", 1, 2, 3]], "numbers"),
        ({"boxes": BOXES, "form": "cxcywh"}, "form"),
        ({"7": XYWH, "9": XYWH}, "2 images"),
    ],
)
def test_unusable_files(tmp_path, content, message):
    path = write(tmp_path, content)
    with pytest.raises(UsageError, match=message) as error:
        as_regions(path, SIZE, "cat.jpg")
    assert str(path) in str(error.value)


def test_wrong_sizes_and_missing_files(tmp_path):
    with pytest.raises(UsageError, match="size"):
        as_regions(Regions.from_boxes(BOXES, SIZE), (61, 80))
    with pytest.raises(UsageError, match="masks have size"):
        as_regions(np.ones((1, 8, 8), bool), SIZE)
    with pytest.raises(UsageError, match="must be bool"):
        as_regions(np.ones((1, *SIZE)), SIZE)
    with pytest.raises(UsageError, match="cannot be read"):
        as_regions(tmp_path / "none.json", SIZE)
