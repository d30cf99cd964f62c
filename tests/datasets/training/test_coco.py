"""COCO's layout: which texts, boxes and captions an image comes with, and what happens to images of no use."""

import json

import pytest
import torch
from torch.utils.data import DataLoader

from densevl.core.errors import UsageError
from densevl.core.vocabulary import templates
from densevl.datasets.training import CocoRegionTexts, VisitSampler, collate_regions

CAPTIONS = "annotations/captions_train2017.json"


def test_boxes_names_and_captions(coco, number_of):
    data = CocoRegionTexts(str(coco), captions=CAPTIONS, side=40)
    assert [number_of(data[i]) for i in range(len(data))] == [1, 2, 4, 5]
    sample = data[1]
    assert sample["texts"] == ("traffic light", "cat")
    expected = torch.tensor([[0, 2, 10, 22], [1, 2, 11, 22]]) / 32
    torch.testing.assert_close(sample["boxes"], expected)
    assert sample["caption"] in ("caption 0 of 2", "caption 1 of 2")
    assert data.skipped == {"crowds": 1}
    assert CocoRegionTexts(str(coco))[0]["caption"] is None


def test_lvis_names_addresses_in_the_place_of_files(coco, number_of):
    path = coco / "annotations" / "instances_train2017.json"
    data = json.loads(path.read_text())
    for image in data["images"]:
        name = image.pop("file_name")
        image |= {"coco_url": f"http://images.cocodataset.org/train2017/{name}", "neg_category_ids": [8]}
    for annotation in data["annotations"]:
        del annotation["iscrowd"]
    (coco / "lvis_v1_train.json").write_text(json.dumps(data))
    found = CocoRegionTexts(str(coco), "lvis_v1_train.json")
    assert [number_of(found[i]) for i in range(len(found))] == [0, 1, 2, 4, 5]
    assert found[1]["texts"] == ("traffic light",)


def test_boxes_of_no_use_are_counted(coco):
    path = coco / "annotations" / "instances_train2017.json"
    data = json.loads(path.read_text())
    wrong = ([float("nan"), 0, 5, 5], [0, 0, -3, 5], [100, 0, 5, 5], [1, 2, 3], [0, 0, 0, 4])
    data["annotations"] += [{"image_id": 104, "bbox": list(box), "category_id": 7} for box in wrong]
    path.write_text(json.dumps(data))
    found = CocoRegionTexts(str(coco))
    assert found.skipped == {"crowds": 1, "empty boxes": 4, "boxes that are not four numbers": 1}
    assert len(found[2]["texts"]) == 1


@pytest.mark.parametrize("side", [32, 40, 64])
def test_masks_lie_where_their_boxes_do(coco, side):
    for sample in (CocoRegionTexts(str(coco), side=side, masks=True)[i] for i in range(4)):
        assert sample["masks"].shape == (len(sample["texts"]), side, side)
        for mask, box in zip(sample["masks"], sample["boxes"] * side, strict=True):
            rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
            found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            torch.testing.assert_close(torch.tensor(found).float(), box, atol=0.51, rtol=0)
            assert mask.sum() == (rows.max() + 1 - rows.min()) * (columns.max() + 1 - columns.min())
    assert "masks" not in CocoRegionTexts(str(coco))[0]


def test_an_image_with_a_box_without_a_mask_gives_no_masks(coco):
    path = coco / "annotations" / "instances_train2017.json"
    data = json.loads(path.read_text())
    data["annotations"][1]["segmentation"] = [[1, 2]]
    path.write_text(json.dumps(data))
    found = CocoRegionTexts(str(coco), masks=True)
    assert [found[i]["masks"] is None for i in range(4)] == [False, True, False, False]


def test_images_with_a_caption_alone(coco, number_of):
    data = CocoRegionTexts(str(coco), captions=CAPTIONS, bare=True)
    assert [number_of(data[i]) for i in range(len(data))] == [1, 2, 3, 4, 5]
    assert data[2]["texts"] == ()
    assert data[2]["boxes"].shape == (0, 4)
    assert data[2]["caption"].endswith("of 3")


def test_the_visit_decides_what_is_drawn(coco):
    data = CocoRegionTexts(str(coco), captions=CAPTIONS)
    seen = [data[3 + visit * len(data)]["caption"] for visit in range(40)]
    assert set(seen) == {f"caption {i} of 5" for i in range(5)}
    assert seen == [data[3 + visit * len(data)]["caption"] for visit in range(40)]


def test_workers_change_nothing(coco):
    data = CocoRegionTexts(str(coco), captions=CAPTIONS, side=16)

    def batches(workers: int) -> list[dict]:
        sampler = VisitSampler(data, shuffle=True, seed=4)
        loader = iter(DataLoader(data, 3, sampler=sampler, num_workers=workers, collate_fn=collate_regions))
        return [next(loader) for _ in range(6)]

    for alone, helped in zip(batches(0), batches(2), strict=True):
        assert all(map(torch.equal, alone["images"], helped["images"]))
        assert all(map(torch.equal, alone["boxes"], helped["boxes"]))
        assert (alone["texts"], alone["caption"]) == (helped["texts"], helped["caption"])


def test_each_pass_visits_each_image_once(coco):
    data = CocoRegionTexts(str(coco))
    numbers = iter(VisitSampler(data, shuffle=True, seed=0))
    for visit in range(3):
        assert sorted(next(numbers) for _ in range(4)) == [visit * 4 + i for i in range(4)]


def test_templates(coco):
    data = CocoRegionTexts(str(coco), templates="imagenet80")
    seen = {text for visit in range(60) for text in data[1 + visit * len(data)]["texts"]}
    assert len(seen) > 40
    assert seen <= {form.replace("{}", name) for form in templates("imagenet80") for name in ("traffic light", "cat")}
    with pytest.raises(UsageError, match="templates 'imagnet' are unknown"):
        CocoRegionTexts(str(coco), templates="imagnet")


@pytest.mark.parametrize("key", ["phrase", "text", "caption"])
def test_phrases(coco, key):
    path = coco / "annotations" / "instances_train2017.json"
    data = json.loads(path.read_text())
    for place, annotation in enumerate(data["annotations"][:-2]):
        annotation[key] = f"thing number {place}"
    path.write_text(json.dumps(data))
    found = CocoRegionTexts(str(coco))
    assert [found[i]["texts"] for i in range(4)] == [
        ("thing number 0",),
        ("thing number 1", "thing number 2"),
        ("thing number 3",),
        ("thing number 4", "cat"),
    ]
    assert "traffic light" in found.texts  # that of the crowd, which is left out later
    for annotation in data["annotations"]:
        del annotation["category_id"]
        annotation[key] = "one"
    path.write_text(json.dumps({"images": data["images"], "annotations": data["annotations"]}))
    assert CocoRegionTexts(str(coco)).texts == ("one",)


def test_unusable_images_are_told_of_and_replaced(coco, tmp_path, draw, number_of):
    (coco / "train2017" / f"{1:012}.png").write_bytes(b"")
    draw(0).resize((50, 60)).save(coco / "train2017" / f"{2:012}.png")
    (coco / "train2017" / f"{5:012}.png").unlink()
    listed = tmp_path / "out" / "failures.jsonl"
    data = CocoRegionTexts(str(coco), failures=str(listed))
    for _ in range(2):
        assert [number_of(data[i]) for i in range(4)] == [4, 4, 4, 4]
    assert len(data.left_out) == 3
    lines = [json.loads(line) for line in listed.read_text().splitlines()]
    assert [line["name"].rpartition("/")[2] for line in lines] == [f"{i:012}.png" for i in (1, 2, 5)]
    assert [word in line["reason"] for word, line in zip(("empty", "annotations say", "no such"), lines, strict=True)]
    (coco / "train2017" / f"{4:012}.png").write_bytes(b"no")
    with pytest.raises(UsageError, match="not one of 4 images in a row can be used"):
        data[0]


def test_nothing_there(coco):
    with pytest.raises(UsageError, match=r"none\.json cannot be read: No such file"):
        CocoRegionTexts(str(coco), captions="annotations/none.json")
    (coco / "bad.json").write_text('{"annotations": [{"image_id": 3}]}')
    with pytest.raises(UsageError, match="does not hold captions"):
        CocoRegionTexts(str(coco), captions="bad.json")
    with pytest.raises(UsageError, match="side must be"):
        CocoRegionTexts(str(coco), side=0)
    with pytest.raises(UsageError, match="indices must be"):
        CocoRegionTexts(str(coco), indices=0)
    (coco / "train2017").rename(coco / "elsewhere")
    with pytest.raises(UsageError, match="not one of the 4 images is there"):
        CocoRegionTexts(str(coco))
    assert len(CocoRegionTexts(str(coco), image_folder="elsewhere")) == 4


def test_real_sample(shared):
    data = CocoRegionTexts(
        str(shared / "data/coco"),
        "annotations/instances_val2017.json",
        "val2017",
        "annotations/captions_val2017.json",
        indices=20,
    )
    assert len(data) == 20
    samples = [data[i] for i in range(20)]
    assert sum(len(sample["texts"]) for sample in samples) == 201
    assert all(sample["caption"] for sample in samples)
    for sample in samples:
        assert sample["images"].shape == (3, 224, 224)
        assert ((sample["boxes"][:, 2:] > sample["boxes"][:, :2]) & (sample["boxes"][:, 2:] <= 1)).all()
