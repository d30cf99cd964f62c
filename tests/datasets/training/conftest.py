"""Small trees in the layouts of real data sets, made of pictures whose colour tells which they are."""

import json
import pickle
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from densevl.datasets.region_texts import RegionText, RegionTextRecord, shard_bytes

SIZES = ((30, 40), (40, 30), (32, 32))
"""(height, width) of the pictures, in turn."""


def picture(number: int) -> Image.Image:
    """A grey picture; its value is ten times its number."""
    height, width = SIZES[number % len(SIZES)]
    return Image.new("RGB", (width, height), (10 * number,) * 3)


def record(number: int) -> RegionTextRecord:
    """A record with as many regions as its number modulo 3."""
    file = BytesIO()
    picture(number).save(file, "PNG")
    regions = tuple(RegionText((i, 1, i + 5, 9), f"thing {i} of {number}", 0.1 + 0.2 * i) for i in range(number % 3))
    return RegionTextRecord(f"k{number:03}", file.getvalue(), SIZES[number % 3], f"picture {number}", regions)


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """COCO's layout, six pictures: as many boxes as the number of the picture modulo 3, and its number of captions."""
    (tmp_path / "train2017").mkdir()
    (tmp_path / "annotations").mkdir()
    images, boxes, captions = [], [], []
    for number in range(6):
        height, width = SIZES[number % 3]
        picture(number).save(tmp_path / "train2017" / f"{number:012}.png")
        images.append({"id": 100 + number, "file_name": f"{number:012}.png", "height": height, "width": width})
        for i in range(number % 3):
            outline = {"segmentation": [[i, 2, i + 10, 2, i + 10, 22, i, 22]]}
            box = {"image_id": 100 + number, "bbox": [i, 2, 10, 20], "category_id": 7 + i, "iscrowd": 0}
            boxes.append({**box, **outline})
        captions += [{"image_id": 100 + number, "caption": f"caption {i} of {number}\n"} for i in range(number)]
    categories = [{"id": 7, "name": "traffic_light"}, {"id": 8, "name": "cat"}]
    boxes.append({"image_id": 100, "bbox": [0, 0, 9, 9], "category_id": 7, "iscrowd": 1})
    data = {"images": images, "annotations": boxes, "categories": categories}
    (tmp_path / "annotations" / "instances_train2017.json").write_text(json.dumps(data))
    (tmp_path / "annotations" / "captions_train2017.json").write_text(json.dumps({"annotations": captions}))
    return tmp_path


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Five shards of three to seven records, 25 in all."""
    folder = tmp_path / "shards"
    folder.mkdir()
    first = 0
    for shard, count in enumerate(range(3, 8)):
        records = [record(number) for number in range(first, first + count)]
        (folder / f"{shard:05}.tar").write_bytes(shard_bytes(records, "webdataset"))
        first += count
    return folder


@pytest.fixture
def refer(tmp_path: Path) -> Path:
    """RefCOCO's official layout, three pictures, of which the third is of another split; two objects
    each, the second with three sentences."""
    folder = tmp_path / "refcoco"
    (tmp_path / "train2014").mkdir()
    folder.mkdir()
    images, annotations, refs = [], [], []
    for number, split in enumerate(("train", "train", "val")):
        image = picture(number)
        name = f"COCO_train2014_{number:012}.png"
        image.save(tmp_path / "train2014" / name)
        images.append({"id": number, "file_name": name, "height": image.height, "width": image.width})
        for thing in range(2):
            ann_id = 10 * number + thing
            box = [2 * thing, 3, 8, 9]
            outline = [[box[0], 3, box[0] + 8, 3, box[0] + 8, 12, box[0], 12]]
            told = {"id": ann_id, "image_id": number, "bbox": box, "category_id": 1, "iscrowd": 0}
            annotations.append({**told, "segmentation": outline})
            sentences = [{"sent": f"{ann_id} said {i}", "sent_id": i} for i in range(1 + 2 * thing)]
            told = {"ref_id": ann_id, "ann_id": ann_id, "image_id": number, "split": split, "category_id": 1}
            refs.append({**told, "file_name": name.replace(".png", f"_{ann_id}.png"), "sentences": sentences})
    data = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "thing"}]}
    (folder / "instances.json").write_text(json.dumps(data))
    (folder / "refs(unc).p").write_bytes(pickle.dumps(refs, protocol=2))
    return tmp_path


@pytest.fixture(scope="session")
def draw() -> Callable[[int], Image.Image]:
    """The picture of a number."""
    return picture


@pytest.fixture(scope="session")
def make_record() -> Callable[[int], RegionTextRecord]:
    """The record of a number."""
    return record


@pytest.fixture(scope="session")
def number_of() -> Callable[[dict], int]:
    """Which picture a sample shows."""
    return lambda sample: int(sample["images"][0, 0, 0]) // 10
