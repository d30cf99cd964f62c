import json

import pytest

from densevl.core.errors import UsageError
from densevl.datasets.regions.annotations import AnnotatedRegion, read_annotations

COCO = {
    "images": [
        {"id": 7, "file_name": "a.jpg", "height": 40, "width": 60},
        {"id": 8, "coco_url": "http://images.cocodataset.org/val2017/b.jpg", "height": 30, "width": 30},
        {"id": 9, "file_name": "no_region.jpg", "height": 30, "width": 30},
    ],
    "annotations": [
        {"image_id": 8, "bbox": [0, 0, 10, 10], "category_id": 3},
        {"image_id": 7, "bbox": [5, 6, 10, 20], "category_id": 5},
        {"image_id": 7, "bbox": [50, 30, 20, 20], "category_id": 3, "iscrowd": 0},
        {"image_id": 7, "bbox": [0, 0, 9, 9], "category_id": 3, "iscrowd": 1},
        {"image_id": 9, "bbox": [3, 3, 0, 5], "category_id": 3},
        {"image_id": 9, "bbox": [30, 3, 4, 5], "category_id": 3},
        {"image_id": 9, "bbox": [3, 3, 4, 5], "category_id": 99},
    ],
    "categories": [{"id": 3, "name": "cat"}, {"id": 5, "name": "aerosol_can"}],
}


def write(folder, data):
    (folder / "boxes.json").write_text(json.dumps(data))
    return folder / "boxes.json"


def test_coco(tmp_path):
    found = read_annotations(write(tmp_path, COCO))
    assert found.texts == ("cat", "aerosol can")
    assert [image.file_name for image in found.images] == ["a.jpg", "val2017/b.jpg"]
    assert found.images[0].size == (40, 60)
    assert found.images[0].regions == (AnnotatedRegion((5, 6, 15, 26), 1), AnnotatedRegion((50, 30, 60, 40), 0))
    assert found.skipped == {"crowds": 1, "empty boxes": 2, "of unlisted categories": 1}
    assert len(found) == 3


def test_lvis_tells_how_frequent_categories_are(tmp_path):
    marks = [("cat", "f"), ("aerosol_can", "r"), ("bow_(weapon)", "r"), ("dog", "c")]
    categories = [{"id": n, "name": name, "frequency": mark} for n, (name, mark) in enumerate(marks, 3)]
    found = read_annotations(write(tmp_path, {**COCO, "categories": categories}))
    assert found.texts == ("cat", "aerosol can", "bow (weapon)", "dog")
    assert found.groups == {"frequent classes": (0,), "common classes": (3,), "rare classes": (1, 2)}
    assert read_annotations(write(tmp_path, COCO)).groups == {}


def test_fgovd(tmp_path):
    data = {
        "images": [{"id": 1, "file_name": "a.jpg", "height": 40, "width": 60}],
        "annotations": [
            {"image_id": 1, "bbox": [0, 0, 9, 9], "category_id": 11, "neg_category_ids": [13, 12]},
            {"image_id": 1, "bbox": [0, 0, 9, 9], "category_id": 12, "neg_category_ids": [11]},
            {"image_id": 1, "bbox": [0, 0, 9, 9], "category_id": 12, "neg_category_ids": []},
        ],
        "categories": [{"id": n, "name": f"caption {n}"} for n in (13, 12, 11)],
    }
    path = write(tmp_path, data)
    everything = read_annotations(path)
    assert [(r.truth, r.choices) for r in everything.images[0].regions] == [(2, (2, 0, 1)), (1, (1, 2))]
    assert everything.skipped == {"with too few negatives": 1}
    two = read_annotations(path, negatives=2)
    assert [r.choices for r in two.images[0].regions] == [(2, 0, 1)]
    assert two.skipped == {"with too few negatives": 2}
    assert [r.choices for r in read_annotations(path, negatives=1).images[0].regions] == [(2, 0), (1, 2)]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([1], "no list 'images'"),
        ({**COCO, "categories": [{"id": 1}]}, "'categories' has no 'name'"),
        ({**COCO, "annotations": [{"image_id": 70, "bbox": [0, 0, 1, 1], "category_id": 3}]}, "70, which is not"),
        ({**COCO, "annotations": []}, "no region to ask about; left out: none"),
        ({**COCO, "annotations": COCO["annotations"][3:5]}, "left out: 1 crowds, 1 empty boxes"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, data, message):
    with pytest.raises(UsageError, match=message):
        read_annotations(write(tmp_path, data))


def test_no_file(tmp_path):
    with pytest.raises(UsageError, match=r"none\.json cannot be read: No such file"):
        read_annotations(tmp_path / "none.json")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(UsageError, match="not JSON"):
        read_annotations(tmp_path / "broken.json")


def test_real_files(shared):
    coco = read_annotations(shared / "data/coco/annotations/instances_val2017.json")
    assert len(coco.texts) == 80
    assert len(coco) + sum(coco.skipped.values()) == 529
    attributes = read_annotations(shared / "data/fgovd/3_attributes.json")
    assert len(attributes) == 33
    assert {len(region.choices) for image in attributes.images for region in image.regions} == {11}
    transparency = read_annotations(shared / "data/fgovd/transparency.json")
    assert len(transparency) == 20
