"""What annotation tools read of our files: Label Studio, LabelMe, CVAT and Datumaro themselves.

They need other versions of shared libraries than densevl, so that they are installed apart:

    python -m venv readers/annotators
    readers/annotators/bin/pip install datumaro label-studio-sdk labelme cvat-sdk
    DENSEVL_READERS=readers pytest -m slow tests/api/jobs/formats
"""

import shutil
from pathlib import Path

import pytest
from toys.records import masks_of, reader, save

from densevl.core.polygons import MIN_IOU

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def read():
    """Reads a file of a tool: the masks of each image, with the names of their classes."""
    python = reader("annotators")
    return lambda tool, path, out: masks_of(python, "annotators.py", tool, path, out=out)


def expected(record):
    names = record.vocabulary.names
    return [(names[segment.label], segment.pixels()) for segment in record.segments]


def check(found, records, least=1.0):
    """The same images in the same order, each with the same classes and masks, in any order."""
    assert len(found) == len(records)
    for masks, record in zip(found.values(), records, strict=True):
        wanted = expected(record)
        assert sorted(name for name, _ in masks) == sorted(name for name, _ in wanted)
        for name, truth in wanted:
            ious = [(mask & truth).sum() / (mask | truth).sum() for other, mask in masks if other == name]
            assert max(ious) >= least


def tree(root: Path, images: Path, **files: Path) -> Path:
    """The folders that Datumaro wants: images beside annotations."""
    shutil.copytree(images, root / "images")
    for name, path in files.items():
        target = root / name.replace("__", "/")
        target.parent.mkdir(exist_ok=True)
        (shutil.copytree if path.is_dir() else shutil.copy)(path, target)
    return root


@pytest.mark.parametrize("kind", ["records", "parts"])
def test_label_studio_decodes_the_masks(kind, request, read, tmp_path):
    records = request.getfixturevalue(kind)
    save("label-studio", tmp_path, records)
    found = read("label-studio", tmp_path / "label-studio", tmp_path / "found.npz")
    assert list(found) == [
        f"/data/local-files/?d={name}" for name in ("a.png", "day%201/b.jpg", "day%201/b.png", "images/empty.JPG")
    ]
    check(found, records)


@pytest.mark.parametrize("name", ["labelme", "labelme-embedded"])
def test_labelme_opens_every_file_with_its_image(name, parts, read, tmp_path):
    save(name, tmp_path, parts)
    found = read("labelme", tmp_path / "labelme", tmp_path / "found.npz")
    assert list(found) == ["a.json", "day 1/b.jpg.json", "day 1/b.png.json", "images/empty.json"]
    for masks, record in zip(found.values(), parts, strict=True):
        assert [name for name, _ in masks] == [name for name, _ in expected(record)]
        for (_, mask), (_, truth) in zip(masks, expected(record), strict=True):
            # labelme fills the outline itself, too, which adds a pixel at the right and at the bottom.
            assert (mask & truth).any()
            if truth.sum() > 400:
                assert (mask & truth).sum() >= MIN_IOU * truth.sum()
                assert (mask & truth).sum() / (mask | truth).sum() > 0.8


@pytest.mark.parametrize("kind", ["records", "parts"])
def test_cvat_codes_the_same_masks(kind, request, read, tmp_path):
    records = request.getfixturevalue(kind)
    save("cvat", tmp_path, records)
    found = read("cvat-sdk", tmp_path / "cvat.xml", tmp_path / "found.npz")
    assert list(found) == [record.file_name for record in records]
    check(found, records)


@pytest.fixture
def distinct(parts):
    """Images of distinct stems: to Datumaro ``b.jpg`` and ``b.png`` of one folder are the same image."""
    return [record for record in parts if record.name != "day 1/b.png"]


def test_datumaro_imports_cvat(distinct, images, read, tmp_path):
    save("cvat", tmp_path, distinct)
    root = tree(tmp_path / "tree", images, **{"cvat.xml": tmp_path / "cvat.xml"})
    check(read("cvat", root / "cvat.xml", tmp_path / "found.npz"), distinct)


@pytest.mark.parametrize(("name", "least"), [("coco", 1), ("polygons", MIN_IOU)])
def test_datumaro_imports_coco(name, least, distinct, images, read, tmp_path):
    save(name, tmp_path, distinct)
    file = tmp_path / ("annotations.json" if name == "coco" else "polygons.json")
    root = tree(tmp_path / "tree", images, **{"annotations__instances_default.json": file})
    check(read("coco", root, tmp_path / "found.npz"), distinct, least)


def test_datumaro_imports_panoptic(distinct, images, read, tmp_path):
    save("coco-panoptic", tmp_path, distinct)
    files = {"panoptic_default.json": tmp_path / "panoptic.json", "panoptic_default": tmp_path / "panoptic"}
    root = tree(tmp_path / "tree", images, **{f"annotations__{name}": path for name, path in files.items()})
    check(read("coco-panoptic", root, tmp_path / "found.npz"), distinct)
