"""Recognition and captions through the runner, on the mini CLIP with random weights."""

import json

import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement
from PIL import Image

from densevl.benchmarks.regions.model import RegionChooser, RegionRetriever
from densevl.benchmarks.run import evaluate
from densevl.core.errors import UsageError
from densevl.core.regions import Regions
from densevl.datasets.regions.annotations import AnnotatedRegion

CROPS = {"type": "marked-images", "visual_prompts": ["crop"], "size": 64}
SEGMENTOR = {
    "type": "regions",
    "encoder": {"type": "random-clip", "arch": "mini-clip"},
    "embedder": CROPS,
    "templates": "none",
    "short_side": 64,
    "window": None,
}


def sample(regions, **meta):
    return BaseDataElement(metainfo={"regions": regions, "sample_idx": 0, "group": "", **meta})


class Texts:
    texts = ("cat", "dog", "red circle", "wood")


def test_answers_are_those_of_each_box_by_itself():
    model = RegionChooser(SEGMENTOR)
    model.prepare(Texts())
    generator = np.random.default_rng(0)
    pictures = [generator.integers(0, 256, (40 + 5 * i, 60, 3), np.uint8) for i in range(2)]
    regions = [
        tuple(AnnotatedRegion((4.0 * i, 3, 20.5 + i, 30), (i + k) % 4, (0, 1, 2, 3) if k else None) for i in range(3))
        for k in range(2)
    ]
    inputs = [torch.from_numpy(picture).permute(2, 0, 1) for picture in pictures]
    found = model(inputs, [sample(r) for r in regions])
    encoder = model.segmentor.encoder
    vectors = encoder.embed_texts(Texts.texts)
    for picture, asked, answered in zip(pictures, regions, found, strict=True):
        for region, answer in zip(asked, answered.answers, strict=True):
            boxes = Regions.from_boxes([region.box], picture.shape[:2])
            one = model.segmentor.embedder.embed(picture, boxes).vectors[0]
            scores = (vectors @ one).tolist()
            assert answer.given == max(range(4), key=scores.__getitem__)
            assert answer.rank == 1 + sum(score > scores[region.truth] for score in scores)


def test_a_prompter_chooses_by_texts_of_its_own_identity():
    settings = {**SEGMENTOR, "embedder": {"type": "prompter", "prompter": "random:0", "side": 64}}
    chooser, retriever = RegionChooser(settings), RegionRetriever(settings)
    for model in (chooser, retriever):
        model.prepare(Texts())
    assert chooser.texts.model_id == chooser.segmentor.embedder.encoder.model_id != chooser.segmentor.encoder.model_id
    pictures = [np.random.default_rng(i).integers(0, 256, (40, 50 + i, 3), np.uint8) for i in range(2)]
    regions = [tuple(AnnotatedRegion((4.0 * i, 3, 20.5 + i, 30), i) for i in range(count)) for count in (3, 1)]
    inputs = [torch.from_numpy(picture).permute(2, 0, 1) for picture in pictures]
    chosen = chooser(inputs, [sample(some) for some in regions])
    compared = retriever(inputs, [sample(some) for some in regions])
    for some, answered, kept in zip(regions, chosen, compared, strict=True):
        assert kept.cosines.shape == (len(some), 4)
        assert [answer.given for answer in answered.answers] == kept.cosines.argmax(1).tolist()
    chooser.segmentor.embedder = RegionChooser(SEGMENTOR).segmentor.embedder
    with pytest.raises(UsageError, match="the same model"):
        chooser(inputs, [sample(some) for some in regions])


def test_a_failure_is_passed_on():
    model = RegionChooser(SEGMENTOR)
    model.prepare(Texts())
    failed = sample((), failure="gone")
    assert model([torch.zeros(3, 0, 0, dtype=torch.uint8)], [failed]) == [failed]
    assert "answers" not in failed
    with pytest.raises(UsageError, match="only predict"):
        model([], [], mode="loss")


def test_texts_that_are_too_long_lose_their_last_words():
    encoder = RegionChooser(SEGMENTOR).segmentor.encoder
    long = " ".join(["circle"] * 60)
    texts, count = encoder.fit_texts(["red circle", long], "a photo of a {}.")
    assert count == 1
    assert texts[0] == "red circle"
    encoder.embed_texts(texts, ["a photo of a {}."])
    with pytest.raises(UsageError, match="tokens"):
        encoder.embed_texts([f"{texts[1]} circle circle"], ["a photo of a {}."])


def test_patches_are_no_regions():
    with pytest.raises(UsageError, match="does not work by regions"):
        RegionChooser("mini")


def test_scenes_through_the_runner(tmp_path):
    options = {"model.embedder": CROPS, "weights": "random:0", "test_dataloader.num_workers": 0}
    options |= {"model.mask_maker": None, "test_dataloader.dataset.length": 4}
    report = evaluate("fgvp_regions_scenes", work_dir=tmp_path, options=options)
    saved = json.loads((tmp_path / "results.json").read_text())
    assert saved["scores"]["chance"] == 100 / 64
    assert saved["dataset"]["images"] == 4
    assert saved["protocol"]["masks"] == "not looked at"
    text = str(report)
    for shown in ("random weights", "chance 1.56", "mAcc of never-seen pairs", "boxes"):
        assert shown in text


def test_a_missing_picture_makes_the_figure_invalid(tmp_path):
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"")
    data = {
        "images": [{"id": i, "file_name": f"{'ab'[i]}.png", "height": 20, "width": 30} for i in range(2)],
        "annotations": [
            {"image_id": i, "bbox": [0, 0, 9, 9], "category_id": 1, "neg_category_ids": [2, 3]} for i in range(2)
        ],
        "categories": [{"id": n, "name": f"caption {n}"} for n in (1, 2, 3)],
    }
    (tmp_path / "hard.json").write_text(json.dumps(data))
    options = {"weights": "mini-clip", "model.mask_maker": None, "model.embedder": CROPS}
    options |= {"test_dataloader.num_workers": 0, "data_root": str(tmp_path)}
    options |= {"test_dataloader.dataset.image_folder": "."}
    report = evaluate("fgvp_fgovd", work_dir=tmp_path / "w", options=options)
    assert [path for path, _ in report.failures] == [str(tmp_path / "b.png")]
    assert "INVALID: 1 of 2 images" in str(report)
    assert report.scores.as_dict()["groups"][0]["negatives"] == 2
