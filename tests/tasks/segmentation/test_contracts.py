"""Both kinds of segmentors make label maps in the same manner, from bytes as from floats."""

import inspect

import numpy as np
import pytest
import torch

from densevl import load
from densevl.core.regions import Regions
from densevl.core.vocabulary import Vocabulary
from densevl.regions.mask_makers.maker import MaskMaker
from densevl.tasks.segmentation.contracts import LabelMaker
from densevl.tasks.segmentation.region_segmentor import RegionSegmentor
from densevl.tasks.segmentation.segmentor import Segmentor

DENSE = {
    "encoder": {"type": "clip", "arch": "mini-clip", "weights": "random:0"},
    "templates": "none",
    "short_side": 64,
    "window": 32,
    "stride": 16,
}


class Corner(MaskMaker):
    """Sees one region, whatever the image; keeps the images that it is shown."""

    name = model_id = "corner"

    def __init__(self):
        self.shown = []

    def to(self, device=None, dtype=None):
        return self

    def everything(self, image):
        self.shown.append(image)
        return Regions.from_boxes([[0, 0, 20, 10]], image.shape[:2]).with_filled_boxes()


def make(kind):
    if kind == "dense":
        return load(DENSE, device="cpu").segmentor
    regions = {"type": "regions", "embedder": {"type": "mask-pooling"}, "mask_maker": Corner()}
    return load({**DENSE, **regions}, device="cpu").segmentor


@pytest.mark.parametrize("kind", ["dense", "regions"])
def test_bytes_and_floats_give_the_same_labels(kind):
    segmentor = make(kind)
    assert isinstance(segmentor, LabelMaker)
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 64, 80), np.uint8))
    texts = segmentor.embed(Vocabulary.parse("red circle, ring, grass"))
    floats, bytes_ = (segmentor.encode_resized([x], [(40, 50)])[0] for x in (pixels.float() / 255, pixels))
    assert torch.equal(segmentor.scores(floats, texts), segmentor.scores(bytes_, texts))
    assert segmentor.label(bytes_, texts)[0].shape == (40, 50)


def test_bytes_reach_the_mask_maker_untouched():
    segmentor = make("regions")
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    segmentor.encode([image])
    assert segmentor.mask_maker.shown[0] is image
    segmentor.encode_resized([torch.from_numpy(image).permute(2, 0, 1)], [(40, 50)])
    assert np.array_equal(segmentor.mask_maker.shown[1], image)


def test_regions_are_made_on_the_whole_image_and_patches_on_the_resized_one():
    segmentor = make("regions")
    assert not isinstance(segmentor, Segmentor)
    assert segmentor.short_side is None
    assert segmentor.protocol["short_side"] == segmentor.dense.short_side == 64
    (encoded,) = segmentor.encode([np.zeros((128, 160, 3), np.uint8)])
    assert encoded.plan.size == (64, 80)
    assert encoded.size == encoded.regions.size == (128, 160)


def test_what_a_region_segmentor_takes_can_be_looked_up():
    own = inspect.signature(RegionSegmentor).parameters
    assert set(inspect.signature(Segmentor).parameters) < set(own)
    assert {"embedder", "mask_maker", "overlap", "uncovered", "most"} < set(own)
    assert own["short_side"].default == 448
    assert all(one.kind is not one.VAR_KEYWORD for one in own.values())
