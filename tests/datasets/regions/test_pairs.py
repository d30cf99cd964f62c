"""Galleries of regions and texts from every source, and retrieval through the runner."""

import json
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from densevl.benchmarks.run import evaluate
from densevl.core.errors import UsageError
from densevl.core.files import atomic_write
from densevl.datasets.region_texts import RegionText, RegionTextRecord
from densevl.datasets.region_texts.shards import shard_bytes
from densevl.datasets.regions.pairs import AnnotatedPairs, RecordPairs, SceneRegionPairs
from densevl.datasets.scenes import render
from densevl.datasets.scenes.language import region_text

QUICK = {"weights": "random:0", "test_dataloader.num_workers": 0}


def png(seed):
    """A file of a picture of 20×30 pixels."""
    file = BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (20, 30, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def shard(tmp_path):
    texts = [["A red  dog", "a ball"], [], ["a Ball", "a red dog", "grass"]]
    records = [
        RegionTextRecord(
            f"{index}",
            png(index),
            (20, 30),
            "a picture",
            tuple(RegionText((1, 2, 5 + place, 9), text) for place, text in enumerate(some)),
        )
        for index, some in enumerate(texts)
    ]
    with atomic_write(tmp_path / "shards" / "0.tar") as temporary:
        temporary.write_bytes(shard_bytes(records, "webdataset"))
    return tmp_path / "shards"


def told(dataset):
    """Box and text of every region, an image at a time."""
    return [[(r.box, dataset.texts[r.truth]) for r in image.regions] for image in dataset.images]


def test_records(shard):
    dataset = RecordPairs(str(shard))
    assert dataset.texts == ("A red  dog", "a ball", "grass")
    assert [[text for _, text in some] for some in told(dataset)] == [
        ["A red  dog", "a ball"],
        ["a ball", "A red  dog", "grass"],
    ]
    assert dataset.protocol["gallery"] == "5 regions, 3 different texts (at most 5000)"
    for index, key in enumerate((0, 2)):
        expected = np.array(Image.open(BytesIO(png(key))))
        assert np.array_equal(dataset[index]["inputs"].permute(1, 2, 0).numpy(), expected)


def test_the_gallery_is_filled_in_order_and_then_nothing_more_is_read(shard):
    dataset = RecordPairs(str(shard), most=3)
    assert [len(some) for some in told(dataset)] == [2, 1]
    assert dataset.texts == ("A red  dog", "a ball")
    assert len(RecordPairs(str(shard), most=2).records) == 1
    assert len(RecordPairs(str(shard), indices=1)) == 1
    with pytest.raises(UsageError, match="most must be at least 1; got 0"):
        RecordPairs(str(shard), most=0)


def test_scenes():
    dataset = SceneRegionPairs(length=3, size=64)
    for index, some in enumerate(told(dataset)):
        scene = render(1, index, size=64, split="val")
        assert some == [(item.box, region_text(item)) for item in scene.objects]
        assert np.array_equal(dataset[index]["inputs"].permute(1, 2, 0).numpy(), scene.image)


def test_phrases_or_names(tmp_path):
    (tmp_path / "a.png").write_bytes(png(0))
    box = {"image_id": 1, "bbox": [1, 2, 3, 4], "category_id": 1}
    data = {
        "images": [{"id": 1, "file_name": "a.png", "height": 20, "width": 30}],
        "annotations": [{**box, "phrase": "the left cat"}, {**box, "bbox": [5, 5, 6, 6]}],
        "categories": [{"id": 1, "name": "cat"}],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(data))
    dataset = AnnotatedPairs(title="Toy", data_root=str(tmp_path), annotations="boxes.json", image_folder=".")
    assert told(dataset) == [[((1, 2, 4, 6), "the left cat"), ((5, 5, 11, 11), "cat")]]


def test_records_through_the_runner(shard, tmp_path):
    options = {**QUICK, "data_root": str(shard), "weights": "mini-clip", "prompter": "random:0"}
    report = evaluate("cloc_retrieval", work_dir=tmp_path / "w", options=options)
    saved = json.loads((tmp_path / "w" / "results.json").read_text())["scores"]
    assert (saved["regions"], saved["texts"], report.images) == (5, 3, 2)
    assert saved["r2t R@5"] == saved["t2r R@5"] == 100
    assert saved["chance"]["r2t R@1"] == pytest.approx(100 / 3)
    for shown in ("5 regions, 3 different texts", "text to region", "random weights", "mini CLIP knows drawn scenes"):
        assert shown in str(report)


def test_batches_and_processes_of_loading_do_not_matter(tmp_path):
    options = {**QUICK, "test_dataloader.dataset.length": 5, "test_dataloader.dataset.size": 64}
    many = evaluate("cloc_retrieval_scenes", work_dir=tmp_path, options=options).scores
    one = evaluate("cloc_retrieval_scenes", work_dir=tmp_path, options={**options, "batch_size": 1}).scores
    assert np.allclose(many.cosines, one.cosines, atol=1e-5)
    assert many.truths.tolist() == one.truths.tolist()
