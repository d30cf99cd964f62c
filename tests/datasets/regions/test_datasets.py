import json

import numpy as np
import pytest
from PIL import Image

from densevl.core.errors import UsageError
from densevl.datasets.regions.datasets import CaptionedRegions, NamedRegions, SceneRegions
from densevl.datasets.scenes import CLASSES, GROUNDS, HELD_OUT, render


@pytest.fixture
def tree(tmp_path):
    """A folder like that of COCO, with two pictures of 20×30 pixels."""
    (tmp_path / "val").mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "val" / name)
    images = [{"id": i, "file_name": f"{name}.png", "height": 20, "width": 30} for i, name in enumerate("ab")]
    regions = [{"image_id": i, "bbox": [1, 2, 3, 4], "category_id": i + 1} for i in range(2)]
    data = {"images": images, "annotations": regions, "categories": [{"id": n, "name": f"thing {n}"} for n in (2, 1)]}
    (tmp_path / "boxes.json").write_text(json.dumps(data))
    return tmp_path


def test_named(tree):
    dataset = NamedRegions("Toy", str(tree), "boxes.json", "val", expected=9)
    assert len(dataset) == 2
    assert dataset.texts == ("thing 2", "thing 1")
    item = dataset[0]
    assert item["inputs"].shape == (3, 20, 30)
    assert item["data_samples"].regions[0].truth == 1
    assert "failure" not in item["data_samples"]
    assert len(NamedRegions("Toy", str(tree), "boxes.json", "val", indices=1)) == 1


def test_classes_are_grouped_where_the_file_does_it(tree):
    data = json.loads((tree / "boxes.json").read_text())
    data["categories"] = [{"id": n, "name": f"thing {n}", "frequency": mark} for n, mark in ((2, "r"), (1, "f"))]
    (tree / "boxes.json").write_text(json.dumps(data))
    dataset = NamedRegions("Toy", str(tree), "boxes.json", "val")
    assert dataset.metainfo["groups"] == {"frequent classes": [1], "rare classes": [0]}


def test_pictures_that_cannot_be_used_say_why(tree):
    dataset = NamedRegions("Toy", str(tree), "boxes.json", "val")
    (tree / "val" / "a.png").write_bytes(b"")
    Image.fromarray(np.zeros((30, 20, 3), np.uint8)).save(tree / "val" / "b.png")
    assert "empty" in dataset[0]["data_samples"].failure
    assert "the annotations say (20, 30)" in dataset[1]["data_samples"].failure
    (tree / "val" / "b.png").unlink()
    with pytest.raises(UsageError, match="no image b"):
        NamedRegions("Toy", str(tree), "boxes.json", "val")


def test_captions_of_several_files(tree):
    for name, offset in (("easy", 0), ("hard", 1)):
        data = json.loads((tree / "boxes.json").read_text())
        data["categories"] = [{"id": n, "name": f"caption {n + offset}"} for n in (1, 2, 3)]
        for region in data["annotations"]:
            region["neg_category_ids"] = [3]
        (tree / f"{name}.json").write_text(json.dumps(data))
    (tree / "boxes.json").unlink()
    dataset = CaptionedRegions(str(tree), image_folder="val")
    assert dataset.texts == ("caption 1", "caption 2", "caption 3", "caption 4")
    asked = [(image.group, image.regions[0].truth, image.regions[0].choices) for image in dataset.images]
    assert asked == [("easy", 0, (0, 2)), ("easy", 1, (1, 2)), ("hard", 1, (1, 3)), ("hard", 2, (2, 3))]
    assert len(CaptionedRegions(str(tree), "hard.json", "val")) == 2
    with pytest.raises(UsageError, match="negatives must be at least 1"):
        CaptionedRegions(str(tree), "hard.json", "val", negatives=0)
    with pytest.raises(UsageError, match="no annotation file in"):
        CaptionedRegions(str(tree / "val"))


def test_scenes():
    dataset = SceneRegions(length=4, size=64)
    assert dataset.texts == CLASSES[len(GROUNDS) :]
    assert len(SceneRegions(length=4, size=64, indices=2)) == 2
    for index in range(4):
        scene = render(1, index, size=64, split="val")
        item = dataset[index]
        assert np.array_equal(item["inputs"].permute(1, 2, 0).numpy(), scene.image)
        assert [dataset.texts[r.truth] for r in item["data_samples"].regions] == [o.name for o in scene.objects]
        assert [r.box for r in item["data_samples"].regions] == [o.box for o in scene.objects]
    groups = dataset.metainfo["groups"]
    assert {tuple(dataset.texts[i].split()) for i in groups["never-seen pairs"]} == HELD_OUT
    assert sorted(groups["seen pairs"] + groups["never-seen pairs"]) == list(range(64))


def test_real_folders(shared):
    coco = NamedRegions(
        "COCO", str(shared / "data/coco"), "annotations/instances_val2017.json", "val2017", expected=5000
    )
    assert coco[0]["inputs"].shape[0] == 3
    captions = CaptionedRegions(str(shared / "data/fgovd"))
    assert sum(len(image.regions) for image in captions.images) == 53
    assert {image.group for image in captions.images} == {"3_attributes", "transparency"}
