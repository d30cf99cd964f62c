"""Views of boxes and masks."""

import numpy as np
import torch

from densevl.core.regions import Regions
from densevl.tasks.teaching.views import jittered_boxes, mirror_image, mirrored, reshaped_mask, views_of


def test_boxes_move_by_a_tenth_of_their_sides():
    box = torch.tensor([[400.0, 300.0, 500.0, 340.0]]).repeat(4000, 1)
    made = jittered_boxes(box, (1000, 1000), np.random.default_rng(0))
    centres, sides = (made[:, :2] + made[:, 2:]) / 2, made[:, 2:] - made[:, :2]
    torch.testing.assert_close(centres.mean(0), torch.tensor([450.0, 320.0]), atol=1, rtol=0)
    torch.testing.assert_close(centres.std(0), torch.tensor([10.0, 4.0]), atol=0.5, rtol=0)
    torch.testing.assert_close(sides.log().std(0), torch.tensor([0.1, 0.1]), atol=0.01, rtol=0)


def test_boxes_stay_inside_and_are_never_empty():
    box = torch.tensor([[0.0, 0.0, 2.0, 2.0], [58.0, 38.0, 60.0, 40.0], [0.0, 0.0, 60.0, 40.0]]).repeat(300, 1)
    made = jittered_boxes(box, (40, 60), np.random.default_rng(0))
    assert len(Regions(made, (40, 60))) == 900  # which refuses what lies outside, or is empty


def test_masks_lose_or_get_a_rim():
    mask = torch.zeros(60, 60, dtype=torch.bool)
    mask[20:40, 20:40] = True
    rng = np.random.default_rng(0)
    made = [reshaped_mask(mask, rng) for _ in range(40)]
    areas = [int(one.sum()) for one in made]
    assert min(areas) < 400 < max(areas)
    assert min(areas) >= 16**2
    assert all(bool((one & mask).sum() == min(int(one.sum()), 400)) for one in made)  # inside or round it


def test_a_mask_of_a_pixel_stays():
    mask = torch.zeros(9, 9, dtype=torch.bool)
    mask[4, 4] = True
    assert torch.equal(reshaped_mask(mask, np.random.default_rng(1)), mask)


def test_views_are_those_of_the_seed():
    regions = Regions.from_boxes([[2, 3, 20, 30]], (40, 60))
    first, again, other = (views_of(regions, 2, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert torch.equal(first[1].boxes, again[1].boxes)
    assert not torch.equal(first[1].boxes, other[1].boxes)
    assert len(first) == 2


def test_mirrored_regions_lie_on_the_same_pixels_of_the_mirror_image():
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    masks = torch.zeros(2, 40, 60, dtype=torch.bool)
    masks[0, 2:9, 3:20] = True
    masks[1, 30:, 50:] = True
    regions = Regions.from_masks(masks)
    turned = mirrored(regions)
    assert torch.equal(turned.boxes, Regions.from_masks(turned.masks).boxes)
    assert turned.boxes.tolist() == [[40, 2, 57, 9], [0, 30, 10, 40]]
    for mask, other in zip(regions.masks, turned.masks, strict=True):
        assert np.array_equal(np.sort(image[mask.numpy()], 0), np.sort(mirror_image(image)[other.numpy()], 0))
    assert torch.equal(mirrored(turned).boxes, regions.boxes)
    assert torch.equal(mirrored(turned).masks, regions.masks)
    assert mirrored(Regions.from_boxes([[2, 3, 20, 30]], (40, 60))).masks is None
