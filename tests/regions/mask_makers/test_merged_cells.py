"""Regions from the maps of the photo encoder."""

import numpy as np
import pytest
import torch

from densevl.core.errors import UsageError
from densevl.core.geometry import box_ious
from densevl.core.registry import build
from densevl.encoders.photo import build_photo
from densevl.regions.mask_makers import MASK_MAKERS
from densevl.regions.mask_makers.grabcut import GrabCut
from densevl.regions.mask_makers.maker import MaskMaker
from densevl.regions.mask_makers.merged_cells import MergedCells


@pytest.fixture(scope="module")
def photo():
    return build_photo()


@pytest.fixture(scope="module")
def maker(photo):
    return MergedCells(photo, short_side=192, count=12)


def picture():
    """Noise of one colour on noise of another."""
    noise = np.random.default_rng(0).integers(0, 60, (96, 128, 3))
    noise[24:72, 64:112] += np.array([190, 20, 20])
    noise[:, :, 1] += 60
    return noise.clip(0, 255).astype(np.uint8)


def test_a_thing_is_one_of_the_first_regions(maker):
    found = maker.everything(picture())
    assert isinstance(maker, MaskMaker)
    assert 1 < len(found) <= 12
    assert box_ious(found.boxes[:5].tolist(), (64, 24, 112, 72)).max() > 0.5
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
    assert 0 <= found.scores.min() <= found.scores.max() <= 1
    assert found.masks.shape[1:] == (96, 128)


def test_a_region_fills_half_of_its_box(maker):
    found = maker.everything(picture())
    assert (found.areas >= 0.45 * found.box_areas).all()


def test_an_image_that_was_encoded_gives_the_same(maker):
    direct, prepared = maker.everything(picture()), maker.everything(maker.encode(picture()))
    assert torch.equal(direct.masks, prepared.masks)


def test_masks_of_boxes_are_those_of_grabcut(maker):
    box = [[50, 10, 120, 80]]
    assert torch.equal(maker.from_boxes(picture(), box), GrabCut().from_boxes(picture(), box))


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (2, 700), (90, 60)])
@pytest.mark.parametrize("value", [0, None])
def test_any_image_has_regions(maker, size, value):
    image = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8) if value is None else np.zeros((*size, 3))
    found = maker.everything(image.astype(np.uint8))
    assert len(found) >= 1
    assert found.size == size
    assert found.masks.flatten(1).any(1).all()


def test_of_a_very_large_image_fewer_regions_are_given(photo, monkeypatch):
    monkeypatch.setattr("densevl.regions.mask_makers.merged_cells.MOST_PIXELS", 3 * 96 * 128)
    assert len(MergedCells(photo, short_side=192).everything(picture())) <= 3


def test_settings_belong_to_its_identity(photo):
    one = build(MASK_MAKERS, {"type": "merged-cells", "encoder": photo})
    assert one.model_id != MergedCells(photo, count=7).model_id
    assert photo.model_id in one.model_id


@pytest.mark.parametrize(
    ("settings", "message"), [({"count": 0}, "count >= 1"), ({"cells": "blocks.3"}, "one of the maps")]
)
def test_wrong_settings(photo, settings, message):
    with pytest.raises(UsageError, match=message):
        MergedCells(photo, **settings)


def test_points_are_refused(maker):
    with pytest.raises(UsageError, match="take a SAM"):
        maker.from_points(picture(), [[[3, 3]]])
