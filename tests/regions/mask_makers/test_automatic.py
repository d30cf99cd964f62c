"""Everything in an image, against segment_anything's own generator with the same weights."""

import numpy as np
import pytest
from segment_anything import SamAutomaticMaskGenerator

from densevl.core.errors import UsageError
from densevl.datasets.scenes import render
from densevl.regions.mask_makers.automatic import Automatic
from densevl.regions.mask_makers.sam import Sam


@pytest.mark.parametrize("small", [0, 60 / (96 * 128)])
def test_the_masks_of_the_generator(mini_sam, small):
    image = render(1, 4, (96, 128), "val").image
    oracle = SamAutomaticMaskGenerator(
        mini_sam.model,
        points_per_side=8,
        pred_iou_thresh=0.2,
        stability_score_thresh=0.3,
        box_nms_thresh=0.7,
        min_mask_region_area=round(small * 96 * 128),
    )
    theirs = sorted(oracle.generate(image), key=lambda found: -found["predicted_iou"])
    settings = Automatic(8, predicted_iou=0.2, stability=0.3)
    ours = Sam(mini_sam.model, "mini SAM", "sam-mini@0", small=small, automatic=settings).everything(image)
    assert len(ours) == len(theirs) > 3
    for mask, score, found in zip(ours.masks, ours.scores.tolist(), theirs, strict=True):
        assert (mask.numpy() == found["segmentation"]).all()
        assert score == pytest.approx(found["predicted_iou"], abs=1e-5)
    assert ours.scores.tolist() == sorted(ours.scores.tolist(), reverse=True)


def test_nothing_is_found(seeded_sam):
    sam = Sam(seeded_sam.model, "seeded SAM", "sam-seeded@3", automatic=Automatic(4, predicted_iou=99.0))
    regions = sam.everything(np.zeros((20, 30, 3), np.uint8))
    assert len(regions) == 0
    assert regions.masks.shape == (0, 20, 30)
    assert regions.scores.shape == (0,)


def test_a_grid_without_points():
    with pytest.raises(UsageError, match="points_per_side must be at least 1"):
        Automatic(points_per_side=0)
