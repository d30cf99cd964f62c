"""Samples against what embedding does with the same image and boxes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from densevl.core.regions import Regions
from densevl.datasets.training import collate_regions, region_sample
from densevl.encoders.loading import build_random_clip
from densevl.regions.embedders.promptable import PromptableCLIP
from densevl.regions.embedders.prompter import Prompter


@pytest.fixture(scope="module")
def model():
    encoder = build_random_clip("mini-clip")
    return PromptableCLIP(encoder, Prompter(encoder.width, encoder.dim).eval(), side=32)


@given(st.integers(2, 90), st.integers(2, 90), st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_training_reads_what_embedding_reads(model, height, width, seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    ends = np.sort(rng.uniform(0, 1, (5, 2, 2)), axis=1).reshape(5, 4) * [width, height, width, height]
    boxes = torch.cat([torch.tensor([[0, 0, width, height]]), torch.from_numpy(ends)]).float()
    sample = region_sample(image, boxes, ["a"] * 6, None, 32)
    assert sample["images"].dtype == torch.uint8
    encoded = model.encode([image])
    grid = model.encoder.tokens(sample["images"][None].float() / 255)
    torch.testing.assert_close(grid, encoded.grid, atol=0.05, rtol=0.05)  # bytes are rounded
    expected = model.embed(encoded, [Regions(boxes, (height, width))])[0].vectors
    hints = model.prompter.boxes(sample["boxes"][None])
    with torch.no_grad():
        torch.testing.assert_close(model.prompter(encoded.grid, hints)[0], expected, atol=1e-4, rtol=1e-3)


def test_the_padding_is_black_and_the_picture_fills_the_rest():
    image = np.full((30, 60, 3), 200, np.uint8)
    sample = region_sample(image, torch.tensor([[0.0, 0.0, 60.0, 30.0]]), ["all"], "white", 40)
    assert (sample["images"][:, :20] == 200).all()
    assert (sample["images"][:, 20:] == 0).all()
    assert sample["boxes"].tolist() == [[0, 0, 1, 0.5]]
    assert (sample["texts"], sample["caption"]) == (("all",), "white")


def test_an_image_without_regions():
    sample = region_sample(np.zeros((8, 8, 3), np.uint8), torch.zeros(0, 4), [], None, 16)
    assert sample["boxes"].shape == (0, 4)
    batch = collate_regions([sample, sample])
    assert [len(boxes) for boxes in batch["boxes"]] == [0, 0]
    assert batch["texts"] == [(), ()]
    assert batch["caption"] == [None, None]
