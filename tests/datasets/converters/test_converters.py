import json
import shutil
from functools import partial

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle

from densevl.core.errors import UsageError
from densevl.core.vocabulary import Vocabulary
from densevl.datasets.converters import CONVERTERS, Task, convert_labels, run_tasks
from densevl.datasets.converters.cityscapes import CLASSES
from densevl.datasets.converters.coco import IDS, THINGS
from densevl.datasets.converters.context import CATEGORIES

read = partial(cv2.imread, flags=cv2.IMREAD_UNCHANGED)


def save(path, labels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(labels.astype(np.uint8)).save(path)


def code(mask):
    encoded = rle.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def test_every_class_has_an_id():
    assert len(CLASSES) == len(Vocabulary.load("cityscapes"))
    assert len(IDS) == len(Vocabulary.load("coco_stuff"))
    assert len(THINGS) + 1 == len(Vocabulary.load("coco_object"))
    assert len(CATEGORIES) == len(set(CATEGORIES)) == len(Vocabulary.load("context59"))
    assert list(CATEGORIES) == sorted(CATEGORIES)


def test_cityscapes(tmp_path):
    raw = np.arange(256).reshape(16, 16)
    save(tmp_path / "gtFine" / "val" / "ulm" / "ulm_1_gtFine_labelIds.png", raw)
    assert convert_labels("cityscapes", tmp_path, workers=0).written == 1
    labels = read(str(tmp_path / "gtFine" / "val" / "ulm" / "ulm_1_gtFine_labelTrainIds.png")).ravel()
    assert [labels[raw_id] for raw_id in (7, 8, 11, 26, 33)] == [0, 1, 2, 13, 18]
    assert sorted(set(labels.tolist())) == [*range(19), 255]
    assert (labels != 255).sum() == 19


def test_coco(tmp_path):
    raw = np.arange(256).reshape(16, 16)
    folder = tmp_path / "annotations" / "val2017"
    save(folder / "1.png", raw)
    for dataset in ("coco_stuff", "coco_object"):
        assert convert_labels(dataset, tmp_path, workers=0).written == 1
    stuff, things = (read(str(folder / f"1_{name}.png")).ravel() for name in ("labelTrainIds", "instanceTrainIds"))
    assert [stuff[raw_id] for raw_id in (0, 10, 11, 12, 91, 181, 255)] == [0, 10, 255, 11, 80, 170, 255]
    assert [things[raw_id] for raw_id in (0, 10, 11, 12, 89, 91, 181, 255)] == [1, 11, 0, 12, 80, 0, 0, 0]
    both = (stuff != 255) & (things > 0)
    assert both.sum() == 80
    assert (stuff[both] + 1 == things[both]).all()


def test_real_labels(shared, tmp_path):
    shutil.copytree(shared / "data" / "cityscapes" / "gtFine", tmp_path / "gtFine")
    shutil.copytree(shared / "data" / "coco_stuff164k" / "annotations", tmp_path / "annotations")
    for dataset, count in (("cityscapes", 2), ("coco_stuff", 8), ("coco_object", 8)):
        result = convert_labels(dataset, tmp_path, workers=0)
        assert (result.written, result.failures) == (count, [])
    for path in tmp_path.rglob("*TrainIds.png"):
        classes = 19 if "gtFine" in path.name else 81 if "instance" in path.name else 171
        found = np.unique(read(str(path)))
        assert len(found) > 1
        assert ((found < classes) | (found == 255)).all()


def test_instances_give_what_the_raw_labels_give(shared, tmp_path):
    """Image 139 is in both: polygons drawn in the order of their annotations are its raw label map."""
    annotations = json.loads((shared / "data" / "coco" / "annotations" / "instances_val2017.json").read_text())
    annotations["images"] = [image for image in annotations["images"] if image["id"] == 139]
    (tmp_path / "instances.json").write_text(json.dumps(annotations))
    name = "annotations/val2017/000000000139"
    save(tmp_path / f"{name}.png", read(str(shared / "data" / "coco_stuff164k" / f"{name}.png")))
    convert_labels("coco_object", tmp_path, workers=0)
    from_raw = read(str(tmp_path / f"{name}_instanceTrainIds.png"))
    result = convert_labels("coco_object", tmp_path, annotations=tmp_path / "instances.json", workers=0, overwrite=True)
    assert result.written == 1
    assert (read(str(tmp_path / f"{name}_instanceTrainIds.png")) == from_raw).all()


def test_context(tmp_path):
    below, above = np.zeros((6, 8), bool), np.zeros((6, 8), bool)
    below[:4], above[2:, 3:] = True, True
    uncompressed = {"size": [6, 8], "counts": [0, 1, 47]}
    masks = [(2, code(below)), (458, code(above)), (1, uncompressed)]
    data = {
        "images": [
            {"file_name": "2008_000002.jpg", "image_id": 2008000002, "phase": "val", "height": 6, "width": 8},
            {"file_name": "2008_000003.jpg", "image_id": 2008000003, "phase": "train", "height": 6, "width": 8},
        ],
        "categories": [{"category_id": 2, "name": "aeroplane"}],
        "annos_segmentation": [
            {"id": i, "image_id": 2008000002, "category_id": c, "segmentation": s} for i, (c, s) in enumerate(masks)
        ],
    }
    voc = tmp_path / "VOC2010"
    voc.mkdir()
    (voc / "trainval_merged.json").write_text(json.dumps(data))
    assert convert_labels("context", tmp_path, workers=0).written == 1
    expected = np.zeros((6, 8), np.uint8)
    expected[:4] = 1
    expected[2:, 3:] = 59
    expected[0, 0] = 0
    assert (read(str(voc / "SegmentationClassContext" / "2008_000002.png")) == expected).all()
    assert (voc / "ImageSets" / "SegmentationContext" / "val.txt").read_text() == "2008_000002\n"
    assert convert_labels("context", voc, split="train", workers=0).written == 1
    with pytest.raises(UsageError, match="no image of the split 'test'"):
        convert_labels("context", voc, split="test")


def square(value, size=4):
    if value == 13:
        raise ValueError("thirteen")
    return np.full((size, size), value, np.uint8)


@pytest.mark.parametrize("workers", [0, 2])
def test_one_failure_does_not_stop_the_others_and_a_second_run_resumes(tmp_path, workers):
    tasks = [Task(tmp_path / f"{i}.png", partial(square, i)) for i in (12, 13, 14)]
    first = run_tasks(tasks, workers)
    assert (first.written, first.present) == (2, 0)
    assert first.failures == [(str(tmp_path / "13.png"), "ValueError: thirteen")]
    assert "failed 1" in str(first)
    again = run_tasks([*tasks[:1], Task(tmp_path / "13.png", partial(square, 1)), *tasks[2:]], workers)
    assert (again.written, again.present, again.failures) == (1, 2, [])
    assert read(str(tmp_path / "14.png")).tolist() == [[14] * 4] * 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["12.png", "13.png", "14.png"]


def test_a_damaged_label_map(tmp_path):
    folder = tmp_path / "annotations" / "val2017"
    save(folder / "1.png", np.zeros((3, 3)))
    save(folder / "2.png", np.zeros((3, 3, 3)))
    (folder / "3.png").write_bytes(b"")
    result = convert_labels("coco_stuff", tmp_path, workers=0)
    assert result.written == 1
    assert [target.split("/")[-1] for target, _ in result.failures] == ["2_labelTrainIds.png", "3_labelTrainIds.png"]


@pytest.mark.parametrize("dataset", sorted(CONVERTERS))
def test_nothing_to_convert(dataset, tmp_path):
    with pytest.raises(UsageError, match=str(tmp_path)):
        convert_labels(dataset, tmp_path)


def test_bad_arguments(tmp_path):
    with pytest.raises(UsageError, match="no converter for 'ade'"):
        convert_labels("ade", tmp_path)
    with pytest.raises(UsageError, match="leave out the annotation file"):
        convert_labels("cityscapes", tmp_path, annotations="a.json")
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(UsageError, match="of another kind"):
        convert_labels("context", tmp_path, annotations=tmp_path / "a.json")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(UsageError, match="not JSON"):
        convert_labels("context", tmp_path, annotations=tmp_path / "a.json")
