"""The rule of the table of label maps of photos, on photos that are drawn here."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from densevl.benchmarks.tables import measure
from densevl.benchmarks.tables.photo_masks import measure_photos, read_labelled_photos
from densevl.core.errors import UsageError
from densevl.core.vocabulary import Vocabulary
from densevl.encoders.photo import build_photo
from densevl.tasks.segmentation.segmentor import Segmentor

NAMES = ("cat", "cup")
CATEGORIES = [
    {"id": 1, "name": "person"},
    {"id": 3, "name": "cat"},
    {"id": 7, "name": "cup"},
    {"id": 9, "name": "xyzzy"},
]


def square(image, category, left, top, side):
    right, bottom = left + side, top + side
    outline = [left, top, right, top, right, bottom, left, bottom]
    return {"image_id": image, "category_id": category, "area": side * side, "segmentation": [outline], "iscrowd": 0}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Photo 20 shows a cup on a cat, a person and a thing without a known name; 10 a person; 15 nothing."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "coco" / "annotations").mkdir(parents=True)
    (folder / "coco" / "val2017").mkdir()
    images = [{"id": i, "file_name": f"{i}.png"} for i in (20, 10, 15)]
    for image in images:
        Image.fromarray(np.full((40, 60, 3), image["id"], np.uint8)).save(
            folder / "coco" / "val2017" / image["file_name"]
        )
    annotations = [
        square(20, 7, 10, 10, 5),
        square(20, 3, 0, 0, 20),
        square(20, 1, 30, 0, 10),
        square(20, 9, 30, 20, 10),
    ]
    content = {"images": images, "annotations": [*annotations, square(10, 1, 0, 0, 10)], "categories": CATEGORIES}
    (folder / "coco" / "annotations" / "instances_val2017.json").write_text(json.dumps(content))
    return folder


def test_the_smaller_mask_is_on_top_and_what_is_not_asked_is_none(data):
    first, second = read_labelled_photos(data)  # by id, and without the photo that shows nothing
    assert (first.names, second.names) == ((), NAMES)
    assert (first.truth == 0).all()
    counts = torch.bincount(second.truth.flatten(), minlength=3).tolist()
    assert counts == [400 - 25, 25, 2400 - 400]
    assert (second.truth[10:15, 10:15] == 1).all()


def test_counting_by_names_of_all_photos(data):
    photo = read_labelled_photos(data)[1]
    vocabulary = Vocabulary.from_classes(["background", *NAMES])
    labels = torch.tensor([1, 2, 0])[photo.truth]
    labels[39, 59] = 1
    matrix = photo.count(labels, vocabulary, ("bird", *NAMES))
    assert matrix.tolist() == [[0, 0, 0, 0], [0, 375, 0, 0], [0, 0, 25, 0], [0, 1, 0, 1999]]


def test_every_other_photo_is_reported(data):
    photos = read_labelled_photos(data)
    segmentor = Segmentor(
        build_photo("random:0"), "plain", classifier="closed-set", background="others", templates="none", window=None
    )
    (chosen, reported), milliseconds = measure_photos(segmentor, photos, NAMES)
    assert chosen.tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 2400]]
    assert reported.sum(1).tolist() == [375, 25, 2000]
    assert milliseconds > 0


def test_photos_are_needed(tmp_path):
    with pytest.raises(UsageError, match="give --data"):
        measure("photo-masks", 1)
    (tmp_path / "coco" / "annotations").mkdir(parents=True)
    (tmp_path / "coco" / "annotations" / "instances_val2017.json").write_text("[]")
    with pytest.raises(UsageError, match="lacks images, annotations or categories"):
        measure("photo-masks", 1, data=tmp_path)
