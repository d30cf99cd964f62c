"""Cells that regions cover, and where they lie."""

import torch

from densevl.core.regions import Regions
from densevl.encoders.ranking.cells import PLACES, covered, image_cells, place_waves


def test_a_box_covers_what_its_mask_does():
    masks = torch.zeros(2, 24, 16, dtype=torch.bool)
    masks[0, 3:21, 2:10] = True
    masks[1, 0:24, 0:16] = True
    regions = Regions.from_masks(masks)
    boxes = Regions(regions.boxes, regions.size)
    torch.testing.assert_close(covered(boxes, 4), covered(regions, 4))
    assert covered(boxes, 4)[1].eq(1).all()
    torch.testing.assert_close(covered(boxes, 4)[0].sum() / 16, torch.tensor(18 * 8 / (24 * 16)))


def test_every_cell_has_a_place_of_its_own():
    waves = place_waves(8)
    assert waves.shape == (64, PLACES)
    assert torch.cdist(waves, waves).fill_diagonal_(1).min() > 0.1


def test_cells_of_an_image_do_not_depend_on_the_others(small_clip):
    torch.manual_seed(0)
    images = [torch.randint(0, 255, (40, 70, 3)).byte().numpy(), torch.randint(0, 255, (64, 64, 3)).byte().numpy()]
    found = image_cells(small_clip, images, 64, 2)
    assert found.shape == (2, 4, small_clip.dim)
    torch.testing.assert_close(image_cells(small_clip, images[1:], 64, 2), found[1:], atol=1e-4, rtol=1e-4)
    assert image_cells(small_clip, [], 64, 2).shape == (0, 4, small_clip.dim)
