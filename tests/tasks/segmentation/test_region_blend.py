"""Regions mixed into dense features, against the equation, patch by patch."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from densevl.api.loading import load
from densevl.core.errors import UsageError
from densevl.core.regions import Regions
from densevl.core.vocabulary import Vocabulary
from densevl.datasets.scenes import render
from densevl.regions.mask_makers.maker import MaskMaker
from densevl.tasks.segmentation.region_blend import RegionBlend

POOLED = {"type": "mask-pooling", "short_side": 96}


class TwoHalves(MaskMaker):
    """A mask maker that sees the left half of an image, and its upper third."""

    name = "two halves"

    def to(self, *_):
        return self

    def prepare(self, image):
        return image

    def from_boxes(self, image, boxes):
        raise AssertionError("a blend asks for everything")

    from_points = from_boxes

    def everything(self, image):
        height, width = image.shape[:2]
        masks = torch.zeros(2, height, width, dtype=torch.bool)
        masks[0, :, : width // 2] = True
        masks[1, : height // 3] = True
        boxes = torch.tensor([[0, 0, width // 2, height], [0, 0, width, height // 3]]).float()
        return Regions(boxes, (height, width), masks)


class Nothing(TwoHalves):
    """A mask maker that sees nothing."""

    def everything(self, image):
        return Regions(torch.zeros(0, 4), image.shape[:2], torch.zeros(0, *image.shape[:2], dtype=torch.bool))


@pytest.fixture(scope="module")
def image():
    return render(3, 5, size=(96, 128), split="val", count=(3, 3)).image


def segmentor(maker=None, **changes):
    settings = {"short_side": 96, "window": None, "device": "cpu", **changes}
    blend = None if maker is None else {"embedder": POOLED, "mask_maker": maker, "weight": 0.4}
    return load("mini-maskclip", blend=blend, **settings).segmentor


@pytest.mark.parametrize("window", [{}, {"window": 64, "stride": 32}])
def test_the_equation(image, window):
    plain, blended = segmentor(**window), segmentor(TwoHalves(), **window)
    (own,), (mixed,) = plain.encode([image]), blended.encode([image])
    (vectors,) = (one.vectors for one in blended.blend.embedder.embed_batch([image], [TwoHalves().everything(image)]))
    patch = own.features.patch_size
    for window_index, (left, top, _, _) in enumerate(own.plan.boxes):
        for row, column in np.ndindex(*own.features.grid.shape[2:]):
            x, y = left + column * patch, top + row * patch
            inside = [x < 64, y < 32]  # both masks end between patches of 8 pixels
            feature = F.normalize(own.features.grid[window_index, :, row, column], dim=0)
            if any(inside):
                feature = 0.6 * feature + 0.4 * vectors[torch.tensor(inside)].mean(0)
            torch.testing.assert_close(mixed.features.grid[window_index, :, row, column], feature, atol=1e-5, rtol=1e-4)


def test_a_batch_equals_its_images(image):
    blended = segmentor(TwoHalves())
    both = blended.encode([image, image[:64]])
    for one, alone in zip(both, (image, image[:64]), strict=True):
        (expected,) = blended.encode([alone])
        torch.testing.assert_close(one.features.grid, expected.features.grid, atol=1e-5, rtol=1e-4)


def test_no_region_changes_nothing(image):
    (own,), (mixed,) = segmentor().encode([image]), segmentor(Nothing()).encode([image])
    assert torch.equal(own.features.grid, mixed.features.grid)


def test_it_is_said_in_protocol_and_space():
    plain, blended = segmentor(), segmentor(TwoHalves())
    assert "blend" not in plain.protocol
    assert "two halves" in blended.protocol["blend"]
    assert "weight=0.4" in blended.protocol["blend"]
    assert blended.space != plain.space


def test_images_of_a_pipeline_are_blended_too(image):
    blended = segmentor(TwoHalves())
    (whole,) = blended.encode([image])
    (resized,) = blended.encode_resized([torch.from_numpy(image).permute(2, 0, 1)], [image.shape[:2]])
    torch.testing.assert_close(whole.features.grid, resized.features.grid, atol=1e-5, rtol=1e-4)
    texts = blended.embed(Vocabulary.parse("grass, brick"))
    assert blended.label(resized, texts)[0].shape == image.shape[:2]


def test_settings_out_of_range_are_refused():
    with pytest.raises(UsageError, match="weight above 0, up to 1"):
        segmentor().blend or RegionBlend(segmentor().encoder, POOLED, TwoHalves(), weight=0)
