"""Small parts of masks, by hand and against a flood fill."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from segment_anything.utils.amg import remove_small_regions

from densevl.regions.mask_makers.clean import SMALL, least_area, without_small_pieces


def test_holes_are_filled_and_islands_vanish():
    mask = torch.zeros(1, 20, 30, dtype=torch.bool)
    mask[0, 2:12, 2:12] = True
    mask[0, 5:7, 5:7] = False  # a hole of 4
    mask[0, 15, 20:23] = True  # an island of 3
    cleaned, changed = without_small_pieces(mask, 5)
    wanted = torch.zeros(20, 30, dtype=torch.bool)
    wanted[2:12, 2:12] = True
    assert torch.equal(cleaned[0], wanted)
    assert changed.tolist() == [True]
    kept, changed = without_small_pieces(mask, 3)
    assert torch.equal(kept, mask)
    assert changed.tolist() == [False]


def test_the_largest_island_stays():
    mask = torch.zeros(1, 9, 9, dtype=torch.bool)
    mask[0, 1, 1:4] = True
    mask[0, 7, 7] = True
    assert without_small_pieces(mask, 50)[0].sum() == 3


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 12))
def test_no_part_is_smaller_and_masks_are_independent(seed, least):
    generator = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(generator.standard_normal((3, 24, 17)).astype(np.float32).transpose(1, 2, 0), (0, 0), 1.2)
    masks = torch.from_numpy(np.ascontiguousarray(noise.transpose(2, 0, 1)) > 0)
    cleaned, changed = without_small_pieces(masks, least)
    for i, mask in enumerate(cleaned):
        _, _, stats, _ = cv2.connectedComponentsWithStats(mask.numpy().astype(np.uint8), connectivity=8)
        islands = stats[1:, cv2.CC_STAT_AREA]
        assert len(islands) <= 1 or islands.min() >= least
        assert torch.equal(without_small_pieces(masks[i : i + 1], least)[0][0], mask)
        assert changed[i] == (not torch.equal(mask, masks[i]))


def test_the_least_area_follows_the_image():
    assert least_area((480, 640), SMALL) == 400
    assert least_area((128, 128), SMALL) == 21
    assert least_area((128, 128), 0) == 0


@pytest.mark.parametrize("least", [2, 9, 40, 2000])
def test_what_is_left_is_that_of_segment_anything(least):
    noise = torch.rand(12, 1, 9, 11, generator=torch.Generator().manual_seed(least))
    masks = (
        torch.nn.functional.interpolate(noise, (40, 50), mode="bilinear")[:, 0]
        > torch.linspace(0, 1, 12)[:, None, None]
    )
    cleaned, changed = without_small_pieces(masks, least)
    for mask, ours, other in zip(masks.numpy(), cleaned.numpy(), changed, strict=True):
        filled, holes = remove_small_regions(mask, least, "holes")
        kept, islands = remove_small_regions(filled, least, "islands")
        assert (ours == kept).all()
        assert bool(other) == (holes or islands)
