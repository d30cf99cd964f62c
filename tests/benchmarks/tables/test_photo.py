"""The tables of the model photo on photos that are drawn here, with annotations in the formats of COCO."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from densevl.benchmarks.tables import measure, photo_regions, photo_search
from densevl.benchmarks.tables.photos import known_names, read_photos, read_search_photos
from densevl.core.errors import UsageError
from densevl.encoders.texts.lexicon import lexicon
from densevl.tasks.search.part import IndexedImage
from densevl.tasks.search.search import Hit

CATEGORIES = [{"id": 1, "name": "person"}, {"id": 3, "name": "cat"}, {"id": 7, "name": "cup"}]
STUFF = [{"id": 9, "name": "frisbee"}]


def entry(image, category, box, area=2000, **more):
    return {"image_id": image, "category_id": category, "bbox": box, "area": area, "iscrowd": 0, **more}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two photos with instances, given in the wrong order, and one with panoptic segments."""
    folder = tmp_path_factory.mktemp("data") / "coco"
    (folder / "annotations").mkdir(parents=True)
    (folder / "val2017").mkdir()
    images = [{"id": i, "file_name": f"{i}.png", "height": 60, "width": 80} for i in (20, 10, 30)]
    for image in images:
        pixels = np.random.default_rng(image["id"]).integers(0, 256, (60, 80, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "val2017" / image["file_name"])
    annotations = [
        entry(10, 3, [0, 0, 50, 50]),
        entry(10, 7, [20, 5, 50, 50]),
        entry(20, 3, [0, 0, 40, 60]),
        entry(20, 3, [40, 0, 40, 60]),
        entry(20, 7, [10, 10, 5, 5], area=20),
        entry(20, 1, [0, 0, 80, 60]),
        entry(20, 7, [0, 0, 80, 60], iscrowd=1),
    ]
    instances = {"images": images[:2], "annotations": annotations, "categories": CATEGORIES + STUFF}
    segments = [entry(30, 3, [5, 5, 60, 50])]
    panoptic = {
        "images": images[1:],
        "categories": CATEGORIES,
        "annotations": [{"image_id": 30, "segments_info": segments}, {"image_id": 10, "segments_info": []}],
    }
    (folder / "annotations" / "instances_val2017.json").write_text(json.dumps(instances))
    (folder / "annotations" / "panoptic_val2017.json").write_text(json.dumps(panoptic))
    return folder.parent


def test_photos_are_sorted_and_every_other_one_is_chosen_on(data):
    first, second = read_photos(data)
    assert [first.path.name, second.path.name] == ["10.png", "20.png"]
    assert (first.chosen_on, second.chosen_on) == (True, False)
    assert [thing.name for thing in second.large] == ["cat", "cat", "person"]
    assert second.names == {"cat", "cup", "person"}
    assert second.things[1].box == (40, 0, 80, 60)
    assert first.vocabulary == ("person", "cat", "cup", "frisbee")


def test_photos_without_instances_come_last(data):
    photos = read_search_photos(data)
    assert [photo.path.name for photo in photos] == ["10.png", "20.png", "30.png"]
    assert photos[2].names == {"cat"}
    assert not photos[2].chosen_on


def test_names_that_the_lexicon_knows_well():
    assert known_names(["person", "cat", "cup", "frisbee"], lexicon()) == ["cat", "cup"]


def test_expressions_mean_one_box_each(data):
    first, second = read_photos(data)
    assert [text for text, *_ in photo_regions.meant_boxes(first)] == ["the cat", "the cup"]
    assert photo_regions.meant_boxes(second) == [
        ("the left cat", "the left / right NAME", 0),
        ("the right cat", "the left / right NAME", 1),
    ]  # the cup is too small to be asked for


def test_figures_of_halves():
    logits = torch.tensor([[2.0, 1, 0], [0, 1, 2], [0, 3, 1], [5, 1, 0]])
    labels, chosen = torch.tensor([0, 0, 1, 1]), torch.tensor([True, False, False, False])
    chosen_half, reporting, every, five, names = photo_regions._figures(logits, labels, chosen)
    assert (chosen_half, every, five) == (100, 50, 100)
    assert reporting == pytest.approx(100 / 3)
    assert names == pytest.approx(25)  # none of one name, half of the other


def test_precision_counts_ten_photos_without_the_own(data):
    photos = {str(photo.path): photo for photo in read_search_photos(data)}
    hits = [Hit(1.0, IndexedImage(path, (60, 80)), (0.0, 0.0, 1.0, 1.0), None, "", 0) for path in photos]
    assert photo_search.precision(hits, photos, "cat") == 30
    assert photo_search.precision(hits, photos, "cup") == 20
    assert photo_search.precision(hits, photos, "cat", read_photos(data)[0].path) == 20


def test_tables(data, monkeypatch):
    monkeypatch.setattr(photo_regions, "CROPS", dict(list(photo_regions.CROPS.items())[2:3]))
    table = measure("photo-regions", 1, data=data)
    assert [name for name, _ in table.rows][-1] == "chance"
    assert dict(table.rows)["chance"][:3] == [50] * 3
    assert "4 boxes over 1000 px of 2 names on 2 photos, 2 names asked at once; 2 boxes" in table.note
    (expressions,) = table.further
    assert [row[-1] for _, row in expressions.rows] == [2, 2, 0]


def test_search_table(data, monkeypatch):
    monkeypatch.setattr(photo_search, "EMBEDDERS", {"mask pooling": "mask-pooling"})
    table = measure("photo-search", 1, data=data)
    assert table.rows == [("cat", [3, 30, 20, 30, 100])]
    assert [name for name, _ in table.further[0].rows] == ["mask pooling", "best possible", "chance"]


@pytest.mark.parametrize("name", ["photo-regions", "photo-search"])
def test_photos_are_asked_for(name, tmp_path):
    with pytest.raises(UsageError, match="give --data"):
        measure(name, 1)
    with pytest.raises(UsageError, match="instances_val2017"):
        measure(name, 1, data=tmp_path)
