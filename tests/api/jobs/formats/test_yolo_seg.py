"""The layout of ultralytics: lines, names and places, and what ultralytics itself makes of them.

ultralytics is installed apart, because it wants libraries that densevl has no use for:

    python -m venv readers/ultralytics && readers/ultralytics/bin/pip install ultralytics
    DENSEVL_READERS=readers pytest -m slow tests/api/jobs/formats
"""

import json
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image
from toys.records import masks_of, reader, save

from densevl.core.images import read_image
from densevl.core.polygons import MIN_IOU
from densevl.core.segments import MIN_AREA


def test_every_line_is_a_polygon_within_the_image(parts, tmp_path):
    save("yolo-seg", tmp_path, parts)
    for record, file in zip(parts, ["a", "day 1/b.jpg", "day 1/b.png"], strict=False):
        lines = (tmp_path / f"yolo-seg/labels/{file}.txt").read_text().splitlines()
        assert len(lines) == len(record.segments)
        for line, segment in zip(lines, record.segments, strict=True):
            kind, *numbers = line.split()
            assert int(kind) == {0: 0, 2: 1, 3: 2}[segment.label]
            points = np.array(numbers, float).reshape(-1, 2)
            assert len(points) >= 3
            assert (points >= 0).all()
            assert (points <= 1).all()
            low, high = points.min(0) * record.size[::-1], points.max(0) * record.size[::-1]
            x, y, width, height = segment.box
            assert np.abs(np.array([*low, *high]) - [x, y, x + width, y + height]).max() <= 1.01
            pixels = points * record.size[::-1]
            assert (np.rint(pixels) == pixels.astype(int)).all(), "corners stay corners when they are cut"
    assert (tmp_path / "yolo-seg/images/labels/empty.txt").read_text() == ""


def test_the_images_are_copies(records, images, tmp_path):
    save("yolo-seg", tmp_path, records)
    copy = tmp_path / "yolo-seg/images/day 1/b.jpg.jpg"
    assert copy.read_bytes() == (images / "day 1/b.jpg").read_bytes()
    assert copy.stat().st_ino != (images / "day 1/b.jpg").stat().st_ino


def test_images_that_ultralytics_cannot_read_become_png(records, images, tmp_path):
    shutil.copy(images / "a.png", tmp_path / "a.png")
    Image.open(tmp_path / "a.png").save(tmp_path / "a.tga")
    record = replace(records[0], file_name="a.tga", place=str(tmp_path / "a.tga"), state=())
    save("yolo-seg", tmp_path / "out", [record])
    np.testing.assert_array_equal(read_image(tmp_path / "out/yolo-seg/images/a.png"), read_image(tmp_path / "a.tga"))


def test_names_are_yaml(records, tmp_path):
    yaml = pytest.importorskip("yaml")
    save("yolo-seg", tmp_path, records)
    data = yaml.safe_load((tmp_path / "yolo-seg/data.yaml").read_text(encoding="utf-8"))
    assert data["names"] == {0: "cat, big", 1: 'say "hi" <b>', 2: "猫 & co", 3: "never seen"}
    assert (data["train"], data["val"]) == ("images", "images")


@pytest.mark.slow
def test_ultralytics_reads_the_data_set(parts, tmp_path):
    python = reader("ultralytics")
    save("yolo-seg", tmp_path, parts)
    found = masks_of(python, "yolo.py", tmp_path / "yolo-seg/data.yaml", out=tmp_path / "found.npz")
    assert list(found) == ["a.png", "day 1/b.jpg.jpg", "day 1/b.png.png", "images/empty.jpg"]
    for masks, record in zip(found.values(), parts, strict=True):
        names = record.vocabulary.names
        assert sorted(name for name, _ in masks) == sorted(names[segment.label] for segment in record.segments)
        for segment in record.segments:
            # ultralytics fills the outline itself, too, which adds a pixel on two sides.
            truth = segment.pixels()
            around = cv2.dilate(truth.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
            near = [mask > 0 for name, mask in masks if name == names[segment.label]]
            best = max(near, key=lambda mask: ((mask & truth).sum(), -mask.sum()))
            assert not (best & ~around).any()
            assert (best & truth).sum() >= (MIN_IOU if truth.sum() >= MIN_AREA else 0.75) * truth.sum()
            if truth.sum() > 400:
                assert (best & truth).sum() / (best | truth).sum() > 0.8


@pytest.mark.slow
def test_supervision_reads_a_flat_folder(parts, tmp_path):
    supervision = pytest.importorskip("supervision")
    save("yolo-seg", tmp_path, parts[:1])
    folder = tmp_path / "yolo-seg"
    found = supervision.DetectionDataset.from_yolo(
        str(folder / "images"), str(folder / "labels"), str(folder / "data.yaml"), force_masks=True
    )
    ((_, _, detections),) = list(found)
    assert found.classes == json.loads(json.dumps(["cat, big", 'say "hi" <b>', "猫 & co", "never seen"]))
    assert len(detections) == len(parts[0].segments)
