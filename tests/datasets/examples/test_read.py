"""Examples of each layout, and what is wrong with files of them."""

import base64
import json

import numpy as np
import pytest
import torch
from PIL import Image

from densevl.core.errors import UsageError
from densevl.core.masks import encode_masks
from densevl.datasets.examples import Example, given_examples, read_examples
from densevl.datasets.examples.labelme import read_labelme

SIZE = (40, 60)


@pytest.fixture
def folder(tmp_path):
    for name in ("a", "b"):
        Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(tmp_path / f"{name}.png")
    return tmp_path


def written(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def coco(**annotation):
    return {
        "images": [{"id": 1, "file_name": "a.png", "height": 40, "width": 60}],
        "categories": [{"id": 7, "name": "gadget"}, {"id": 8, "name": "gear"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 7, "bbox": [2, 3, 10, 20], **annotation},
            {"id": 2, "image_id": 1, "category_id": 8, "bbox": [20, 3, 10, 10], "iscrowd": 1},
            {"id": 3, "image_id": 1, "category_id": 8, "bbox": [30, 3, 10, 10]},
        ],
    }


def test_coco(folder):
    mask = torch.zeros(1, *SIZE, dtype=torch.bool)
    mask[:, 5:9, 3:8] = True
    first, second = read_examples(written(folder / "x", coco(segmentation=encode_masks(mask)[0])))
    assert (first.name, first.image, first.box) == ("gadget", folder / "a.png", (2, 3, 12, 23))
    assert torch.equal(first.mask_in(SIZE), mask[0])
    assert (second.name, second.mask, second.box_in(SIZE)) == ("gear", None, (30, 3, 40, 13))


def test_images_of_coco_lie_beside_or_in_the_folder_of_the_split(folder):
    (folder / "annotations").mkdir()
    (folder / "val2017").mkdir()
    (folder / "a.png").rename(folder / "val2017" / "a.png")
    (first, _) = read_examples(written(folder / "annotations" / "instances_val2017.json", coco()))
    assert first.image == folder / "val2017" / "a.png"
    assert read_examples(folder / "annotations" / "instances_val2017.json", folder / "val2017")[0].image == first.image


def shape(label, kind, points, **more):
    return {"label": label, "shape_type": kind, "points": points, **more}


def labelme(*shapes):
    return {"imagePath": "a.png", "imageData": None, "shapes": list(shapes), "imageHeight": 40, "imageWidth": 60}


def test_labelme(folder):
    written(
        folder / "a.json",
        labelme(
            shape("gadget", "polygon", [[0, 0], [10, 0], [10, 10], [0, 10]], group_id=3),
            shape("gadget", "polygon", [[20, 0], [30, 0], [30, 10], [20, 10]], group_id=3),
            shape("gear", "rectangle", [[50, 30], [40, 20]]),
            shape("gear", "circle", [[30, 30], [33, 30]]),
            shape("gear", "point", [[5, 30]]),
        ),
    )
    found = {
        (example.name, example.point is not None, example.mask is not None): example
        for example in read_examples(folder)
    }
    pair = found["gadget", False, True]
    assert pair.box == (0, 0, 30, 10)
    assert pair.mask_in(SIZE).sum() == 200  # both polygons of the group
    assert found["gear", False, False].box == (40, 20, 50, 30)
    assert float(found["gear", False, True].mask_in(SIZE).sum()) == pytest.approx(np.pi * 9, rel=0.2)
    assert found["gear", True, False].point_in(SIZE) == (5, 30)


def test_an_image_that_labelme_embeds(folder, monkeypatch, tmp_path):
    """It is taken where the image itself is not there, and kept by its content."""
    monkeypatch.setenv("DENSEVL_CACHE", str(tmp_path / "cache"))
    content = (folder / "a.png").read_bytes()
    data = base64.b64encode(content).decode()
    written(folder / "x.json", {**labelme(shape("gear", "rectangle", [[50, 30], [40, 20]])), "imageData": data})
    assert read_examples(folder / "x.json")[0].image == folder / "a.png"
    (folder / "a.png").unlink()
    first, second = (read_examples(folder / "x.json")[0].image for _ in range(2))
    assert first == second
    assert first.read_bytes() == content
    assert first.is_relative_to(tmp_path / "cache")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (7, "must be an image in base64"),
        ("%%%", "holds no image, or is damaged"),
        (base64.b64encode(b"nothing").decode(), "holds no image, or is damaged"),
        ("A" * 200_000_004, "characters, and at most 200,000,000 are read"),
    ],
)
def test_embedded_images_that_cannot_be_read(data, said, folder, monkeypatch, tmp_path):
    monkeypatch.setenv("DENSEVL_CACHE", str(tmp_path / "cache"))
    (folder / "a.png").unlink()
    content = {**labelme(shape("gear", "rectangle", [[50, 30], [40, 20]])), "imageData": data}
    with pytest.raises(UsageError, match=said) as caught:
        list(read_labelme(content, folder / "x.json", None))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert not (tmp_path / "cache").exists()


def test_yolo(folder):
    (folder / "images").mkdir()
    (folder / "labels").mkdir()
    (folder / "a.png").rename(folder / "images" / "a.png")
    (folder / "b.png").rename(folder / "images" / "b.png")  # an image of nothing has no labels
    written(folder / "labels" / "a.txt", "0 0.5 0.5 0.5 0.25\n1 0 0 0.5 0 0.5 0.5 0 0.5\n\n")
    written(folder / "data.yaml", "path: /elsewhere\ntrain: images\nnames:\n  0: gadget\n  1: gear\n")
    for place in (folder, folder / "data.yaml"):
        first, second = read_examples(place)
        assert (first.name, first.box_in(SIZE)) == ("gadget", (15, 15, 45, 25))
        assert (second.name, int(second.mask_in(SIZE).sum())) == ("gear", 600)


def test_folders(folder):
    for name in ("gear_wheel", "gadget"):
        (folder / name).mkdir()
    (folder / "a.png").rename(folder / "gear_wheel" / "1.png")
    (folder / "b.png").rename(folder / "gadget" / "1.png")
    first, second = read_examples(folder)
    assert [(one.name, one.box_in(SIZE)) for one in (first, second)] == [
        ("gadget", (0, 0, 60, 40)),
        ("gear wheel", (0, 0, 60, 40)),
    ]
    (folder / "gadget" / "1.png").unlink()
    with pytest.raises(UsageError, match=r"gadget of a class has no image"):
        read_examples(folder)


RECORDS = [
    {"image": "a.png", "name": "gadget", "box": [1, 2, 30, 20], "caption": "a small one"},
    {"image": "a.png", "name": "gear", "point": [40, 10]},
    {"image": "b.png", "name": "gear", "mask": [[0, 0, 10, 0, 10, 10]]},
    {"image": "b.png", "name": "gear"},
]


@pytest.mark.parametrize("lines", [False, True])
def test_records(lines, folder):
    text = "\n".join(map(json.dumps, RECORDS)) if lines else json.dumps(RECORDS, indent=1)
    found = read_examples(written(folder / "list", text))
    assert [one.name for one in found] == ["gadget", "gear", "gear", "gear"]
    assert found[0].box == (1, 2, 30, 20)
    assert found[0].caption == "a small one"
    assert found[1].point == (40, 10)
    assert 40 < found[2].mask_in(SIZE).sum() < 60
    assert found[3].box_in(SIZE) == (0, 0, 60, 40)


def test_a_program_gives_records_or_examples(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert len(given_examples(RECORDS)) == 4
    assert given_examples([Example(folder / "a.png", "x")])[0].name == "x"
    with pytest.raises(UsageError, match="no example"):
        given_examples([])


def test_a_mask_in_a_file_has_the_size_of_its_image(folder):
    Image.fromarray(np.full((20, 20), 255, np.uint8)).save(folder / "m.png")
    (example,) = read_examples(written(folder / "x", [{"image": "a.png", "name": "gear", "mask": "m.png"}]))
    with pytest.raises(UsageError, match=r"20×20 pixels and its image 40×60"):
        example.mask_in(SIZE)
    Image.fromarray(np.zeros(SIZE, np.uint8)).save(folder / "m.png")
    with pytest.raises(UsageError, match="the mask is empty"):
        example.mask_in(SIZE)


@pytest.mark.parametrize(
    ("region", "said"),
    [
        ({"box": [70, 3, 90, 9]}, r"lies outside the image of 40×60"),
        ({"box": [30, 3, 20, 9]}, r"is empty"),
        ({"point": [5, 50]}, r"point \(5, 50\) lies outside"),
        ({"mask": {"size": [9, 9], "counts": "51"}}, r"mask cannot be used: a mask of size \[9, 9\]"),
        ({"mask": [[1, 2]]}, r"three points or more"),
        ({"mask": [[0, 0, 0, 0, 0, 0]]}, r"mask is empty"),
    ],
)
def test_a_region_that_does_not_fit_its_image_is_named(region, said, folder):
    (example,) = read_examples(written(folder / "x.json", [{"image": "a.png", "name": "gear", **region}]))
    with pytest.raises(UsageError, match=rf"x\.json, record 1: .*{said}"):
        _ = example.mask_in(SIZE), example.point_in(SIZE), example.box_in(SIZE)


def test_a_box_that_reaches_out_is_cut(folder):
    (example,) = read_examples(written(folder / "x", [{"image": "a.png", "name": "gear", "box": [-3, 5, 99, 20]}]))
    assert example.box_in(SIZE) == (0, 5, 60, 20)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "no examples in a known layout"),
        ("[]", "there is no example"),
        ("{", "is not JSON: line 1"),
        ("\x00", "holds no examples"),
        ("[" * 100000, "nested too deeply"),
        ('{"image": "a.png", "name": "x"}\n{"image"\n', "is not JSON: line 2"),
        ([{"image": "a.png"}], "name of a class is a text; got None"),
        ([{"image": 3, "name": "x"}], "image is the path of a file"),
        ([{"image": "a.png", "name": "x", "bbox": [1, 2, 3, 4]}], "'bbox' is unknown; did you mean box"),
        ([{"image": "a.png", "name": "x", "box": [1, 2, 3]}], "box must be 4 numbers"),
        ([{"image": "a.png", "name": "x", "box": [1, 2, 3, float("nan")]}], "box must be 4 numbers"),
        ([{"image": "a.png", "name": "x", "caption": 3}], "caption is a text"),
        ([{"image": "lost.png", "name": "x"}], "1 of 1 images .* missing, the first one .*lost.png"),
        (
            [{"image": "a.png", "name": name, "box": [1, 2, 30, 20]} for name in "xy"],
            "same region is 'x' .* and 'y'",
        ),
        ({"images": [], "annotations": {}}, "no list 'annotations'"),
        (coco(image_id=9), "annotation 1: image_id 9 is not listed"),
        (coco(category_id=9), "category_id 9 is not listed"),
        (coco(bbox=[1, 2]), "bbox must be 4 numbers"),
        (labelme(shape("x", "line", [[1, 2], [3, 4]])), "a line of 2 points shows no region"),
        (labelme(shape("x", "polygon", [[1, "b"], [3, 4], [5, 6]])), "a point must be 2 numbers"),
        ("names: 3\ntrain: images\n", "names are a list"),
    ],
)
def test_files_that_cannot_be_used_are_one_error(content, said, folder):
    with pytest.raises(UsageError, match=said) as caught:
        read_examples(written(folder / "x.json", content))
    assert "\n" not in str(caught.value)


def test_nothing_there(tmp_path):
    with pytest.raises(UsageError, match="there are no examples at"):
        read_examples(tmp_path / "none")
    with pytest.raises(UsageError, match="there is no example"):
        read_examples(tmp_path)


def test_the_same_region_counts_once(folder):
    records = [{"image": "a.png", "name": "x", "box": [1, 2, 30, 20]}] * 3
    assert len(read_examples(written(folder / "x", records))) == 1


def test_lines_of_yolo_that_cannot_be_used(folder):
    written(folder / "data.yaml", "train: .\nnames: [gadget]\n")
    for line, said in [
        ("3 0.5 0.5 0.5 0.5", "class 3 is not among"),
        ("0 0.5 0.5", "four numbers"),
        ("0 x", "must be"),
    ]:
        written(folder / "a.txt", line)
        with pytest.raises(UsageError, match=said):
            read_examples(folder)


def test_images_in_a_bucket_are_to_be_copied_first(tmp_path):
    (tmp_path / "examples.json").write_text('[{"image": "s3://bucket/a.png", "name": "dog", "box": [0, 0, 5, 5]}]')
    with pytest.raises(UsageError, match=r"s3:/bucket/a\.png; copy them here and name the copies$"):
        read_examples(tmp_path / "examples.json")
