import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from densevl.core.errors import ImageError, OutputError, UsageError
from densevl.core.images import read_image
from densevl.core.labelmap import UNLABELLED, LabelMap, _check_labels, read_label_map, write_label_map
from densevl.core.palette import palette
from densevl.core.vocabulary import Vocabulary

VOCABULARY = Vocabulary.from_classes(["cat", ["sofa", "couch"], "floor", "猫"])


def labels_of(classes: int, shape: tuple[int, int] = (20, 31), unlabelled: bool = False) -> np.ndarray:
    labels = np.random.default_rng(classes).integers(0, classes, shape)
    labels[0, 0], labels[-1, -1] = 0, classes - 1
    if unlabelled:
        labels[3:5, 4:9] = UNLABELLED
    return labels


def example(**options: object) -> LabelMap:
    labels = np.zeros((10, 20), np.int64)
    labels[2:5, 3:8] = 1
    labels[9, 19] = 2
    return LabelMap(labels, VOCABULARY, **options)


@pytest.mark.parametrize("unlabelled", [False, True])
@pytest.mark.parametrize("classes", [1, 2, 3, 15, 255, 256, 257, 1000, 65535])
def test_files_round_trip(tmp_path: Path, classes: int, unlabelled: bool) -> None:
    labels = labels_of(classes, unlabelled=unlabelled)
    write_label_map(tmp_path / "labels.png", labels, palette(classes))
    np.testing.assert_array_equal(read_label_map(tmp_path / "labels.png"), labels)
    with Image.open(tmp_path / "labels.png") as image:
        small = classes + unlabelled <= 256
        assert image.mode.startswith("P" if small else "I")
        values = np.array(image)
        np.testing.assert_array_equal(values[labels >= 0], labels[labels >= 0])
        assert (values[labels < 0] == (255 if small else 65535)).all()


@settings(max_examples=30, deadline=None)
@given(
    arrays.arrays(
        st.sampled_from([np.int16, np.int64]),
        st.tuples(st.integers(1, 9), st.integers(1, 9)),
        elements=st.integers(-1, 299),
    ),
    st.integers(300, 400),
)
def test_any_labels_round_trip(tmp_path_factory: pytest.TempPathFactory, labels: np.ndarray, classes: int) -> None:
    path = tmp_path_factory.mktemp("any") / "labels.png"
    for count in (classes, max(int(labels.max()) + 1, 1)):
        write_label_map(path, labels, palette(400)[:count])
        np.testing.assert_array_equal(read_label_map(path), labels)


def test_files_show_the_palette(tmp_path: Path) -> None:
    labels = labels_of(12)
    write_label_map(tmp_path / "labels.png", labels, palette(12))
    np.testing.assert_array_equal(read_image(tmp_path / "labels.png"), np.array(palette(12))[labels])
    header = (tmp_path / "labels.png").read_bytes()[24:26]
    assert header == bytes([8, 3]), "8 bits, palette"


def test_files_of_others_are_read_as_they_stand(tmp_path: Path) -> None:
    values = np.array([[0, 7, 255]], np.uint8)
    Image.fromarray(values).save(tmp_path / "grey.png")
    assert read_label_map(tmp_path / "grey.png").tolist() == [[0, 7, 255]]


def test_a_real_label_file(shared: Path) -> None:
    path = next((shared / "data/ade").rglob("annotations/**/*.png"))
    labels = read_label_map(path)
    np.testing.assert_array_equal(labels, np.array(Image.open(path)))
    assert labels.max() <= 150


@pytest.mark.parametrize("labels", [[[0, 3]], [[-2, 0]]])
def test_labels_that_cannot_be_written(tmp_path: Path, labels: list) -> None:
    with pytest.raises(UsageError, match=r"labels run from 0 to 2, .* got"):
        write_label_map(tmp_path / "labels.png", np.array(labels), palette(3))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "labels", [np.zeros((2, 3)), np.zeros(3, int), np.zeros((0, 3), int), np.zeros((1, 2, 3), int)]
)
def test_arrays_that_are_no_labels(labels: np.ndarray) -> None:
    with pytest.raises(UsageError, match="labels are integers"):
        _check_labels(labels, 3)


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"written as \.png"):
        write_label_map(tmp_path / "labels.jpg", labels_of(3), palette(3))
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        write_label_map(tmp_path / "file" / "labels.png", labels_of(3), palette(3))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("hello")
    Image.new("RGB", (3, 2)).save(tmp_path / "colours.png")
    Image.new("F", (3, 2)).save(tmp_path / "floats.tif")
    for name, message in (
        ("text.png", "no image in a known format"),
        ("lost.png", "no such file"),
        ("colours.png", "holds RGB values"),
        ("floats.tif", "holds F values"),
    ):
        with pytest.raises(ImageError, match=f"{name}.* {message}"):
            read_label_map(tmp_path / name)


def test_areas() -> None:
    assert example().areas() == {"cat": 184 / 200, "sofa": 15 / 200, "floor": 1 / 200}
    assert list(example().areas()) == ["cat", "sofa", "floor"]
    half = LabelMap(np.array([[0, -1]]), VOCABULARY)
    assert half.areas() == {"cat": 0.5}
    assert example().names == ("cat", "sofa", "floor", "猫")


def test_mask() -> None:
    found = example()
    assert found.mask("sofa").sum() == 15
    np.testing.assert_array_equal(found.mask("couch"), found.labels == 1)
    np.testing.assert_array_equal(found.mask(" COUCH "), found.labels == 1)
    assert not found.mask("猫").any()
    with pytest.raises(UsageError, match=r"no class 'coach'.*couch"):
        found.mask("coach")
    with pytest.raises(UsageError, match=r"no class 'zebra'.*cat, sofa"):
        found.mask("zebra")


def test_save_and_overlay(tmp_path: Path) -> None:
    image = np.full((10, 20, 3), 90, np.uint8)
    found = example(image=image)
    found.save(tmp_path / "a" / "labels.png")
    np.testing.assert_array_equal(read_label_map(tmp_path / "a" / "labels.png"), found.labels)
    assert found.overlay().shape[0] > 160
    assert found.overlay(legend=False).shape == image.shape
    with pytest.raises(UsageError, match="does not hold the image"):
        example().overlay()


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        (np.full((2, 3), 4), {}, "labels run from 0 to 3"),
        (np.zeros((2, 3), int), {"image": np.zeros((3, 2, 3), np.uint8)}, r"image has size \(3, 2\)"),
        (np.zeros((2, 3), int), {"best": np.zeros((2, 4))}, r"best has size \(2, 4\)"),
    ],
)
def test_parts_that_disagree(labels: np.ndarray, options: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        LabelMap(labels, VOCABULARY, **options)


def test_scores_are_kept() -> None:
    scores = torch.rand(4, 10, 20)
    assert example(scores=scores).scores is scores


def test_a_coco_data_set_of_one_image(tmp_path: Path) -> None:
    from pycocotools.coco import COCO

    found = example(best=np.linspace(0, 1, 200, dtype=np.float32).reshape(10, 20))
    (tmp_path / "one.json").write_text(json.dumps(found.to_coco(image_id=7, file_name="day 1/猫.jpg")))
    loaded = COCO(str(tmp_path / "one.json"))
    assert loaded.loadImgs([7]) == [{"id": 7, "file_name": "day 1/猫.jpg", "height": 10, "width": 20}]
    for annotation in loaded.loadAnns(loaded.getAnnIds([7])):
        np.testing.assert_array_equal(loaded.annToMask(annotation), found.labels == annotation["category_id"] - 1)
    assert [category["name"] for category in loaded.loadCats(loaded.getCatIds())] == list(VOCABULARY.names)


def test_the_background_is_no_category_and_parts_can_be_annotations() -> None:
    labels = np.zeros((10, 20), int)
    labels[:4, :4] = labels[6:, 15:] = 2
    labels[5, 5] = 1
    found = LabelMap(labels, Vocabulary.from_classes(["cat", "dog", "sofa"]).with_background(["background"]))
    assert [c["name"] for c in found.to_coco()["categories"]] == ["cat", "dog", "sofa"]
    assert [(a["category_id"], a["area"]) for a in found.to_coco()["annotations"]] == [(2, 36), (1, 1)]
    parts = found.to_coco(connected=True, min_area=2)["annotations"]
    assert [(a["id"], a["category_id"], a["bbox"]) for a in parts] == [(1, 2, [0, 0, 4, 4]), (2, 2, [15, 6, 5, 4])]


def test_supervision_takes_the_masks() -> None:
    supervision = pytest.importorskip("supervision")
    best = np.linspace(0, 1, 200, dtype=np.float32).reshape(10, 20)
    found = example(best=best)
    detections = found.to_supervision()
    assert detections.class_id.tolist() == [0, 1, 2]
    assert detections["class_name"].tolist() == ["cat", "sofa", "floor"]
    for label, mask, score in zip(detections.class_id, detections.mask, detections.confidence, strict=True):
        np.testing.assert_array_equal(mask, found.labels == label)
        assert score == pytest.approx(best[mask].mean(), abs=1e-5)
    assert detections.xyxy[1].tolist() == [3, 2, 8, 5]
    assert detections.area.tolist() == [184, 15, 1]
    canvas = np.zeros((10, 20, 3), np.uint8)
    assert supervision.MaskAnnotator().annotate(canvas.copy(), detections).any()
    assert example().to_supervision().confidence is None
    assert len(example().to_supervision(connected=True, min_area=16)) == 1


def test_supervision_of_nothing_but_background() -> None:
    pytest.importorskip("supervision")
    background = Vocabulary.from_classes(["cat", "background"])
    assert len(LabelMap(np.full((4, 4), 1), background).to_supervision()) == 0
    assert len(LabelMap(np.full((4, 4), -1), VOCABULARY).to_supervision()) == 0


def test_notebooks_show_the_overlay() -> None:
    image = np.full((10, 20, 3), 90, np.uint8)
    shown = example(image=image)._repr_png_()
    with Image.open(BytesIO(shown)) as picture:
        np.testing.assert_array_equal(np.array(picture), example(image=image).overlay())
    assert example()._repr_png_() is None
