"""COCO and polygons, opened by pycocotools and by supervision."""

import json

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO
from toys.records import save

from densevl.core.polygons import MIN_IOU


def test_pycocotools_reads_the_masks_that_were_written(records, tmp_path):
    save("coco", tmp_path, records)
    found = COCO(str(tmp_path / "annotations.json"))
    found.info()
    assert [image["file_name"] for image in found.loadImgs(found.getImgIds())] == [r.file_name for r in records]
    names = {category["id"]: category for category in found.loadCats(found.getCatIds())}
    assert [(i, category["name"]) for i, category in names.items()] == [
        (1, "cat, big"),
        (2, 'say "hi" <b>'),
        (3, "猫 & co"),
        (4, "never seen"),
    ]
    seen = []
    for image_id, record in zip(found.getImgIds(), records, strict=True):
        annotations = found.loadAnns(found.getAnnIds(image_id))
        assert len(annotations) == len(np.unique(record.labels[(record.labels >= 0) & (record.labels != 1)]))
        for annotation in annotations:
            mask = found.annToMask(annotation).astype(bool)
            np.testing.assert_array_equal(mask, record.labels == names[annotation["category_id"]]["label"])
            assert annotation["area"] == mask.sum()
            assert annotation["iscrowd"] == 0
            assert 0 < annotation["score"] < 1
            seen.append(annotation["id"])
    assert seen == list(range(1, len(seen) + 1))
    assert found.getAnnIds(found.getImgIds()[-1]) == []


def test_results_can_be_loaded_and_measured(records, tmp_path):
    """The files serve as truth and as results of an evaluation, which then is perfect."""
    from pycocotools.cocoeval import COCOeval

    save("coco", tmp_path, records)
    truth = COCO(str(tmp_path / "annotations.json"))
    results = truth.loadRes(json.loads((tmp_path / "annotations.json").read_text())["annotations"])
    measured = COCOeval(truth, results, "segm")
    measured.evaluate()
    measured.accumulate()
    measured.summarize()
    assert measured.stats[0] == pytest.approx(1)


def test_connected_parts_are_annotations(parts, tmp_path):
    save("coco", tmp_path, parts)
    found = COCO(str(tmp_path / "annotations.json"))
    for image_id, record in zip(found.getImgIds(), parts, strict=True):
        annotations = found.loadAnns(found.getAnnIds(image_id))
        whole = np.zeros(record.size, int)
        for annotation in annotations:
            mask = found.annToMask(annotation)
            assert cv2.connectedComponents(mask, connectivity=4)[0] == 2
            whole += mask
        np.testing.assert_array_equal(whole, (record.labels >= 0) & (record.labels != 1))
    areas = [annotation["area"] for annotation in found.loadAnns(found.getAnnIds())]
    assert 1 in areas, "single pixels are kept where the least area is 1"


def test_a_file_of_one_image_is_a_data_set(records, tmp_path):
    save("coco", tmp_path, records)
    found = COCO(str(tmp_path / "day 1/b.jpg.coco.json"))
    assert found.loadImgs([1])[0]["file_name"] == "day 1/b.jpg"
    joined = COCO(str(tmp_path / "annotations.json"))
    one, all_of_it = found.loadAnns(found.getAnnIds()), joined.loadAnns(joined.getAnnIds(2))
    assert [a["segmentation"] for a in one] == [a["segmentation"] for a in all_of_it]


@pytest.mark.parametrize("connected", [False, True])
def test_polygons_keep_the_stated_iou(connected, records, parts, tmp_path):
    shown = parts if connected else records
    save("polygons", tmp_path, shown)
    found = COCO(str(tmp_path / "polygons.json"))
    for image_id, record in zip(found.getImgIds(), shown, strict=True):
        annotations = found.loadAnns(found.getAnnIds(image_id))
        for annotation, segment in zip(annotations, record.segments, strict=True):
            assert isinstance(annotation["segmentation"], list)
            assert len(annotation["segmentation"]) == 1 or not connected
            mask, truth = found.annToMask(annotation).astype(bool), segment.pixels()
            assert (mask & truth).sum() / (mask | truth).sum() >= MIN_IOU


def test_a_hole_stays_a_hole(records, tmp_path):
    """The class round the hole does not cover what is in it."""
    save("polygons", tmp_path, records)
    found = COCO(str(tmp_path / "polygons.json"))
    (around,) = [a for a in found.loadAnns(found.getAnnIds(1)) if a["category_id"] == 3]
    mask = found.annToMask(around)
    assert mask[12, 12]
    assert not mask[16:17, 15:23].any()


@pytest.mark.parametrize("name", ["coco", "polygons"])
def test_supervision_opens_the_data_set(name, records, images, tmp_path):
    supervision = pytest.importorskip("supervision")
    save(name, tmp_path, records)
    path = tmp_path / {"coco": "annotations.json"}.get(name, "polygons.json")
    found = supervision.DetectionDataset.from_coco(str(images), str(path), force_masks=True)
    assert found.classes == ["cat, big", 'say "hi" <b>', "猫 & co", "never seen"]
    assert len(found) == len(records)
    for (_, image, detections), record in zip(found, records, strict=True):
        assert image.shape[:2] == tuple(record.size)
        assert len(detections) == len(record.segments)
        for mask, segment in zip(detections.mask if len(detections) else [], record.segments, strict=True):
            truth = segment.pixels()
            iou = (mask & truth).sum() / (mask | truth).sum()
            assert iou == 1 if name == "coco" else iou > 0.8  # it fills the pixels of an outline, too


def test_files_are_ascii(records, tmp_path):
    """They are read right whatever encoding a reader takes for granted."""
    for name in ("coco", "coco-panoptic", "label-studio", "labelme"):
        save(name, tmp_path, records)
    for path in tmp_path.rglob("*.json"):
        assert path.read_bytes().isascii()
