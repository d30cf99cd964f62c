"""Region maps of whole images in a segmentor: CorrCLIP and the vote of masks with the mini SAM."""

import numpy as np
import pytest
import torch

from densevl.core.errors import UsageError
from densevl.core.regions import Regions
from densevl.core.vocabulary import Vocabulary
from densevl.datasets.scenes.scene import render
from densevl.encoders.loading import build_clip
from densevl.tasks.segmentation.region_maps import region_map
from densevl.tasks.segmentation.segmentor import Segmentor

SCENE = render(3, 1, (64, 96), count=(3, 4))
CLASSES = Vocabulary.parse("red circle, blue square, green triangle")
FEW = {
    "type": "sam",
    "weights": "mini-sam",
    "automatic": {"points_per_side": 5, "predicted_iou": 0.6, "stability": 0.7},
}
NOTHING = {**FEW, "automatic": {"points_per_side": 1, "predicted_iou": 5.0}}
GUIDE = {"type": "sam", "weights": "mini-sam"}


@pytest.fixture(scope="module")
def encoder():
    return build_clip("mini-clip")


def segmentor(encoder, **settings):
    return Segmentor(encoder, templates="none", short_side=64, window=48, stride=24, **settings)


def test_the_smallest_region_is_on_top():
    masks = torch.zeros(2, 4, 5, dtype=torch.bool)
    masks[0, 1:3, 1:3] = masks[1, :3] = True
    expected = [[0, 0, 0, 0, 0], [0, 1, 1, 0, 0], [0, 1, 1, 0, 0], [-1, -1, -1, -1, -1]]
    assert region_map(Regions.from_masks(masks)).tolist() == expected
    assert region_map(Regions.from_masks(masks[:0])).eq(-1).all()


def test_the_vote_makes_regions_of_one_label_behind_any_readout(encoder):
    plain, voted = segmentor(encoder), segmentor(encoder, stages=["mask-vote"], mask_maker=FEW)
    texts = plain.embed(CLASSES)
    (before,), (after,) = plain.encode([SCENE.image]), voted.encode([SCENE.image])
    assert after.features.regions.shape == (len(after.plan), 48, 48)
    numbers = region_map(voted.regions.maker.everything(SCENE.image))
    labels, found = plain.label(before, texts)[0], voted.label(after, texts)[0]
    assert numbers.max() >= 1
    for number in numbers[numbers >= 0].unique().tolist():
        counts = labels[numbers == number].bincount(minlength=3)
        assert found[numbers == number].unique().tolist() == [int(counts.argmax())]
    assert torch.equal(found[numbers < 0], labels[numbers < 0])
    assert voted.protocol["mask_maker"] == voted.regions.maker.model_id


@pytest.mark.parametrize("maker", [FEW, NOTHING])
def test_corrclip(encoder, maker):
    made = segmentor(
        encoder,
        readout={"type": "corrclip", "guide": GUIDE, "layers": 1},
        stages=["mask-vote"],
        mask_maker=maker,
        average="logits",
    )
    texts = made.embed(CLASSES)
    both = made.encode([SCENE.image, np.flip(SCENE.image, 1).copy()])
    labels, best = made.label(both[0], texts)
    assert labels.shape == (64, 96)
    assert best.isfinite().all()
    assert (both[0].features.regions >= 0).any() == (maker is FEW)
    (alone,) = made.encode([SCENE.image])
    torch.testing.assert_close(alone.features.grid, both[0].features.grid, rtol=1e-3, atol=1e-4)


def test_a_mask_maker_and_its_readers_belong_together(encoder):
    with pytest.raises(UsageError, match="mask-vote reads the regions of the image; give it a mask_maker"):
        segmentor(encoder, stages=["mask-vote"])
    with pytest.raises(UsageError, match="no readout or stage reads regions, so a mask_maker would change nothing"):
        segmentor(encoder, mask_maker=FEW)
