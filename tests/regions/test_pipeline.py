"""Proposing, making masks and embedding, each step when it is needed and not before."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from densevl.core.errors import UsageError
from densevl.core.lazy import Lazy
from densevl.core.regions import RegionEmbeddings, Regions
from densevl.regions.embedders.embedder import RegionEmbedder
from densevl.regions.embedders.marked_images import MarkedImages
from densevl.regions.embedders.mask_pooling import MaskPooling
from densevl.regions.embedders.prompted import PromptedRegions
from densevl.regions.mask_makers.maker import MaskMaker
from densevl.regions.pipeline import RegionPipeline

IMAGE = np.zeros((30, 40, 3), np.uint8)
BOXES = Regions.from_boxes([[1, 2, 11, 12], [5, 5, 25, 15]], (30, 40))


class Areas(RegionEmbedder):
    """Embeds a region as the area of its mask, or of its box."""

    protocol = {"type": "areas"}  # noqa: RUF012

    def __init__(self, needs_masks=False):
        self._needs_masks, self.calls, weight = needs_masks, 0, nn.Parameter(torch.zeros(1))
        self.encoder = SimpleNamespace(
            model_id="areas", dim=1, temperature=1.0, embed_texts=len, parameters=lambda: iter([weight])
        )

    @property
    def needs_masks(self):
        return self._needs_masks

    def embed(self, image, regions):
        self.calls += 1
        return RegionEmbeddings(regions.areas[:, None], "areas")


class Halves(MaskMaker):
    """The left half of each box; proposes what it is given."""

    name = model_id = "halves"

    def __init__(self, proposals=BOXES):
        self.proposals = proposals

    def everything(self, image):
        return self.proposals

    def from_boxes(self, image, boxes):
        masks = torch.zeros(len(boxes), *image.shape[:2], dtype=torch.bool)
        for mask, (x0, y0, x1, y1) in zip(masks, boxes.long().tolist(), strict=True):
            mask[y0:y1, x0 : (x0 + x1) // 2] = True
        return masks


def test_masks_are_made_where_the_embedder_needs_them():
    assert RegionPipeline(Areas(), Halves()).embed([IMAGE], [BOXES])[0].vectors.tolist() == [[100], [200]]
    assert RegionPipeline(Areas(True), Halves()).embed([IMAGE], [BOXES])[0].vectors.tolist() == [[50], [100]]
    own = BOXES.with_filled_boxes()
    assert RegionPipeline(Areas(True), Halves()).embed([IMAGE], [own])[0].vectors.tolist() == [[100], [200]]
    assert RegionPipeline(Areas(True)).embed([IMAGE], [own])[0].vectors.tolist() == [[100], [200]]
    with pytest.raises(UsageError, match="has nothing that makes them of boxes; give masks"):
        RegionPipeline(Areas(True)).embed([IMAGE], [BOXES])


def test_images_without_regions_have_no_vectors_and_are_not_encoded():
    embedder = Areas(True)
    found = RegionPipeline(embedder).embed([IMAGE, IMAGE], [BOXES[:0], BOXES.with_filled_boxes()])
    assert [one.vectors.shape for one in found] == [(0, 1), (2, 1)]
    assert {one.model_id for one in found} == {"areas"}
    assert embedder.calls == 1
    assert len(RegionPipeline(embedder).embed([IMAGE], [BOXES[:0]])[0]) == 0
    assert RegionPipeline(embedder).embed([], []) == []
    with pytest.raises(ValueError, match="shorter"):
        RegionPipeline(embedder).embed([IMAGE, IMAGE], [BOXES])


def test_the_best_proposals_are_kept_and_an_order_without_scores():
    scored = BOXES[[0, 1, 0]].with_scores(torch.tensor([0.1, 0.9, 0.5]))
    assert RegionPipeline(Areas(), Halves(scored)).propose(IMAGE) is scored
    assert RegionPipeline(Areas(), Halves(scored), most=2).propose(IMAGE).scores.tolist() == pytest.approx([0.9, 0.5])
    bare = scored.with_scores(None)
    assert torch.equal(RegionPipeline(Areas(), Halves(bare), most=2).propose(IMAGE).boxes, bare.boxes[:2])
    with pytest.raises(UsageError, match="no mask maker, so this model proposes no regions"):
        RegionPipeline(Areas()).propose(IMAGE)


def test_neither_step_builds_what_the_other_needs():
    def never():
        raise AssertionError("this is not needed")

    maker = Lazy(Halves)
    assert RegionPipeline(Lazy(never), maker).propose(IMAGE) is BOXES
    assert maker.made
    assert len(RegionPipeline(Lazy(Areas), Lazy(never)).embed([IMAGE], [BOXES])[0]) == 2


@pytest.mark.parametrize("kind", [MarkedImages, MaskPooling, PromptedRegions])
def test_every_embedder_has_the_whole_contract(kind):
    assert RegionEmbedder in kind.__mro__
    assert {"needs_masks", "reads_masks", "protocol", "embed", "embed_batch"} <= set(dir(kind))


def test_masks_of_many_regions_are_made_in_groups(monkeypatch):
    """No more are held at once than the limit, and the vectors are those of all together."""
    monkeypatch.setattr("densevl.regions.pipeline.MASK_BYTES", 2 * 30 * 40)
    held = []

    class Counting(Halves):
        def from_boxes(self, image, boxes):
            held.append(len(boxes))
            return super().from_boxes(image, boxes)

    many = Regions.from_boxes([[left, 2, left + 9, 12] for left in range(5)], (30, 40))
    found = RegionPipeline(Areas(needs_masks=True), Counting()).embed([IMAGE, IMAGE], [many, BOXES])
    assert sorted(held) == [1, 2, 2, 2]
    assert [len(one) for one in found] == [5, 2]
    whole = RegionPipeline(Areas(needs_masks=True), Halves())
    assert torch.equal(found[0].vectors, torch.cat([whole.embed([IMAGE], [many[i]])[0].vectors for i in range(5)]))
