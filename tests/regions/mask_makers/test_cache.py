"""Masks on disk: found again, made again where they are damaged, never mixed up."""

import json

import pytest
import torch

from densevl.core.errors import UsageError
from densevl.core.registry import build
from densevl.regions.mask_makers import MASK_MAKERS
from densevl.regions.mask_makers.cache import CachedMasks
from densevl.regions.mask_makers.grabcut import GrabCut
from densevl.regions.mask_makers.sam import Sam

BOXES = [[10, 8, 60, 70], [0, 0, 131, 96], [40, 40, 44, 43]]
LAX = {"points_per_side": 4, "predicted_iou": -99, "stability": 0.1}


@pytest.fixture
def lax_sam(seeded_sam):
    return Sam(seeded_sam.model, "seeded SAM", "sam-seeded@3", small=0, automatic=LAX)


@pytest.fixture
def runs(seeded_sam, monkeypatch):
    """How often the image encoder ran."""
    counted = []
    stem = seeded_sam.model.image_encoder.patch_embed
    forward = stem.forward
    monkeypatch.setattr(stem, "forward", lambda x: counted.append(1) or forward(x))
    return counted


def test_masks_are_made_once(lax_sam, garden, tmp_path, runs):
    plain = lax_sam.from_boxes(garden, BOXES), lax_sam.from_points(garden, [[[3, 4]]]), lax_sam.everything(garden)
    runs.clear()
    cached = CachedMasks(lax_sam, tmp_path)
    prepared = cached.encode(garden)
    assert runs == [], "nothing is encoded before a mask is missing"
    for again in range(2):
        image = prepared if not again else garden
        assert torch.equal(cached.from_boxes(image, BOXES), plain[0])
        assert torch.equal(cached.from_points(image, [[[3, 4]]]), plain[1])
        regions = cached.everything(image)
        assert torch.equal(regions.masks, plain[2].masks)
        assert torch.equal(regions.boxes, plain[2].boxes)
        torch.testing.assert_close(regions.scores, plain[2].scores)
    assert len(plain[2]) > 0
    assert runs == [1]
    assert [path.suffix for path in tmp_path.rglob("*") if path.is_file()] == [".json"]


def test_only_missing_boxes_are_asked_for(lax_sam, garden, tmp_path, monkeypatch):
    cached = CachedMasks(lax_sam, tmp_path)
    first = cached.from_boxes(garden, BOXES[:1])
    asked = []
    monkeypatch.setattr(
        lax_sam, "from_boxes", lambda image, boxes: asked.append(boxes) or Sam.from_boxes(lax_sam, image, boxes)
    )
    masks = cached.from_boxes(garden, [BOXES[1], BOXES[0], BOXES[1]])
    assert [boxes.tolist() for boxes in asked] == [[BOXES[1]]]
    assert torch.equal(masks[1], first[0])
    assert torch.equal(masks[0], masks[2])


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"masks": {}, "size": [96, 131], "checksum": "0"}', None])
def test_a_damaged_file_is_made_anew(lax_sam, garden, tmp_path, runs, damage):
    cached = CachedMasks(lax_sam, tmp_path)
    masks = cached.from_boxes(garden, BOXES)
    path = cached.path(garden)
    whole = path.read_bytes()
    if damage is None:  # one letter of one mask is another, which would still decode
        content = json.loads(whole)
        key = next(iter(content["masks"]))
        content["masks"][key] = content["masks"][key][::-1]
        damage = json.dumps(content).encode()
    path.write_bytes(damage)
    assert torch.equal(cached.from_boxes(garden, BOXES), masks)
    assert path.read_bytes() == whole
    assert runs == [1, 1]


def test_images_makers_and_settings_are_told_apart(lax_sam, garden, tmp_path):
    cached = CachedMasks(lax_sam, tmp_path)
    other = CachedMasks(Sam(lax_sam.model, "seeded SAM", "sam-seeded@3", small=0.5), tmp_path)
    mirrored = garden[:, ::-1].copy()
    turned = garden.reshape(garden.shape[1], garden.shape[0], 3)  # the same bytes in another shape
    paths = {cached.path(garden), cached.path(mirrored), cached.path(turned), other.path(garden)}
    assert len(paths) == 4
    assert cached.path(garden) == CachedMasks(lax_sam, tmp_path).path(garden.copy())
    with pytest.raises(UsageError, match="was prepared by"):
        other.from_boxes(cached.encode(garden), BOXES)


def test_a_folder_that_cannot_be_written_costs_a_warning(lax_sam, garden, tmp_path):
    (tmp_path / "file").write_text("no folder")
    cached = CachedMasks(lax_sam, tmp_path / "file")
    with pytest.warns(UserWarning, match="not kept for the next time"):
        masks = cached.from_boxes(garden, BOXES)
    assert torch.equal(masks, lax_sam.from_boxes(garden, BOXES))


def test_it_is_a_mask_maker_of_the_registry(tmp_path, garden):
    cached = build(
        MASK_MAKERS, {"type": "cached", "maker": {"type": "grabcut", "iterations": 1}, "folder": str(tmp_path)}
    )
    assert isinstance(cached.maker, GrabCut)
    assert (cached.name, cached.model_id) == ("GrabCut", cached.maker.model_id)
    assert cached.from_boxes(garden, []).shape == (0, 96, 131)
    with pytest.raises(UsageError, match="reversed"):
        cached.from_boxes(garden, [[50, 10, 20, 20]])
