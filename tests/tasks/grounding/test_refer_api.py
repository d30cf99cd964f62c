"""Referring expressions through the front door."""

import numpy as np
import pytest
import torch
from PIL import Image

import densevl
from densevl.core.errors import UsageError


@pytest.fixture(scope="module")
def model():
    return densevl.load("mini", device="cpu")


def test_one_model_segments_and_refers(model, scene, boxes, tmp_path):
    Image.fromarray(scene.image).save(tmp_path / "scene.png")
    text = f"the {scene.objects[2].name}"
    found = model.refer(tmp_path / "scene.png", text, boxes)
    assert found.box == tuple(map(float, scene.objects[2].box))
    encoded = model.encode_regions(scene.image, boxes)
    again = model.refer(encoded, [text, "the left shape"])
    torch.testing.assert_close(again[0].probabilities, found.probabilities)
    assert model.segment(scene.image, "grass, sand").labels.shape == scene.image.shape[:2]


def test_the_mini_sam_proposes_where_nothing_is_given(model, scene):
    item = max(scene.objects, key=lambda item: item.radius)
    found = model.refer(scene.image, item.name)
    assert found.proposals.startswith("mini SAM")
    common = (found.mask & item.mask).sum() / (found.mask | item.mask).sum()
    assert common > 0.5
    assert found.regions.masks.dtype == torch.bool
    assert np.isfinite(found.probabilities).all()


def test_models_say_what_they_cannot_do(model, scene, boxes):
    alone = densevl.Model(None, "regions", model.grounder)
    assert alone.refer(scene.image, "star", boxes).ranking
    with pytest.raises(UsageError, match="'regions' finds regions and labels no pixels"):
        alone.segment(scene.image, "grass")
    with pytest.raises(UsageError, match=r"'pixels' labels pixels.*fgvp"):
        densevl.Model(model.segmentor, "pixels").refer(scene.image, "star", boxes)
