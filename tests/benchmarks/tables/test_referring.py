"""The table of referring expressions against ranking each expression by hand."""

import pytest
import torch

from densevl.benchmarks.tables.referring import PROMPTS, STEPS, measure_protocol
from densevl.core.regions import Regions
from densevl.datasets.referring.scenes import ReferringScenes
from densevl.encoders.loading import build_random_clip
from densevl.regions.embedders.marked_images import MarkedImages
from densevl.regions.mask_makers.grabcut import GrabCut


@pytest.fixture(scope="module")
def embedder():
    names = tuple(dict.fromkeys(name for some in PROMPTS.values() for name in some))
    return MarkedImages(build_random_clip("mini-clip"), names, size=64)


def iou(a, b):
    width, height = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return shared / (sum(areas) - shared)


def test_figures_are_those_of_ranking_by_hand(embedder):
    dataset = ReferringScenes(length=3, size=64, per_kind=1)
    found = measure_protocol(dataset, embedder, GrabCut(), "true")
    hits, chance = {prompts: [] for prompts in PROMPTS}, []
    for index, image in enumerate(dataset.images):
        picture, boxes = dataset.picture(index), image.candidates["true"]
        regions = Regions.from_boxes(boxes, picture.shape[:2])
        regions = regions.with_masks(GrabCut().from_boxes(picture, regions.boxes))
        marked = embedder.embed(picture, regions)
        texts = [(text, ref.box) for ref in image.refs for text in ref.sentences]
        for text, box in texts:
            vector = embedder.encoder.embed_texts([text])[0]
            chance.append(sum(iou(other, box) > 0.5 for other in boxes) / len(boxes))
            for prompts, names in PROMPTS.items():
                total = torch.stack([marked.parts[name] @ vector for name in names]).sum(0)
                hits[prompts].append(iou(boxes[int(total.argmax())], box) > 0.5)
    assert len(chance) > 4
    for prompts in PROMPTS:
        assert found.hits[prompts, ""] == hits[prompts]
        assert found.percent(prompts, "") == pytest.approx(100 * sum(hits[prompts]) / len(chance))
    assert found.by_chance == pytest.approx(chance)
    assert all(found.possible)
    assert set(found.hits) == {(prompts, step) for prompts in PROMPTS for step in STEPS}
    kinds = found.of_kinds("crop", "R")
    counts = {kind: found.kinds.count(kind) for kind in kinds}
    mean = sum(kinds[kind] * counts[kind] for kind in kinds) / len(chance)
    assert mean == pytest.approx(found.percent("crop", "R"))


def test_pictures_without_proposals_count_as_wrong(embedder):
    class Blind(GrabCut):
        def everything(self, image):
            return Regions(torch.zeros(0, 4), (64, 64), torch.zeros(0, 64, 64, dtype=torch.bool))

    dataset = ReferringScenes(length=3, size=64, per_kind=1)
    found = measure_protocol(dataset, embedder, Blind(), "everything")
    assert found.percent("crop", "RS") == 0
    assert found.proposals == [0] * len(dataset)
    assert not any(found.possible)
