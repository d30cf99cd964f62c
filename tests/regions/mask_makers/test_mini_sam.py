"""The mini SAM as it is shipped, on held-out scenes."""

import json

import numpy as np
import pytest
import torch

from densevl.datasets.scenes import render
from densevl.encoders.sam.mini import build_mini_sam
from densevl.training.mask_quality import mask_quality
from densevl.weights.table import DATA


def test_masks_on_held_out_scenes(mini_sam):
    found = mask_quality(mini_sam, 2, seed=2)
    assert found["boxes"] > 0.8
    assert found["points"] > 0.6
    assert found["proposal_recall"] > 0.6


def test_the_picture_may_have_another_size(mini_sam):
    scene = render(2, 3, (96, 200), "val", zoom=1.2)
    boxes = [item.box for item in scene.objects]
    for mask, item in zip(mini_sam.from_boxes(scene.image, boxes).numpy(), scene.objects, strict=True):
        assert (mask & item.mask).sum() > 0.7 * (mask | item.mask).sum()


def test_what_is_shipped_is_small_and_says_how_it_was_made():
    file = DATA / "mini" / "sam.safetensors"
    assert file.stat().st_size < 5_000_000
    told = json.loads((DATA / "mini" / "sam_training.json").read_text())
    assert told["recipe"] == ["python tools/train.py configs/sam_train_scenes.py"]
    assert told["result"]["boxes"] >= 0.8


def test_the_architecture_learns_from_pixels_and_not_from_the_batch():
    encoder = build_mini_sam().image_encoder.eval()
    pictures = torch.randn(2, 3, 160, 160)
    with torch.inference_mode():
        together, alone = encoder(pictures), encoder(pictures[1:])
    assert together.shape == (2, 128, 20, 20)
    torch.testing.assert_close(together[1:], alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("side", [64, 128])
def test_other_sizes_are_scaled_to_the_encoders(mini_sam, side):
    assert mini_sam.encode(np.zeros((side, side, 3), np.uint8)).input_size == (160, 160)
