"""Features on finer patches with keys of earlier maps: by definition, in batches, on odd sizes, and wrongly used."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures
from densevl.core.vocabulary import Vocabulary
from densevl.dense.refiners.finer import Finer
from densevl.dense.stack import stack_maps
from densevl.encoders.photo import build_photo
from densevl.tasks.segmentation.segmentor import Segmentor

MAPS = ("blocks.4", "blocks.10")


def features(batch=2):
    generator = torch.Generator().manual_seed(0)
    grid, coarse, fine = (torch.randn(batch, c, s, s, generator=generator) for c, s in ((6, 3), (5, 6), (4, 12)))
    return DenseFeatures(grid, 32, "tiny@1", maps={"blocks.10": coarse, "blocks.4": fine})


@pytest.fixture(scope="module")
def segmentor():
    return Segmentor(
        build_photo("random:0"),
        readout="plain",
        refiners=[{"type": "finer", "side": 8, "maps": MAPS}],
        classifier={"type": "closed-set", "count": "largest", "others": 0.02},
        stages=["appearance"],
        background="others",
        templates="none",
        short_side=64,
        long_side=128,
        window=None,
    )


def test_features_are_read_bilinearly_and_keys_are_the_stack_of_the_maps():
    before = features()
    after = Finer(8, MAPS)(before, torch.zeros(2, 3, 75, 96))
    assert (after.patch_size, after.maps) == (8, {})
    expected = F.interpolate(before.grid, (12, 12), mode="bilinear")[:, :, :10]  # 75 pixels end in the tenth patch
    torch.testing.assert_close(after.grid, expected)
    stacked = stack_maps([before.maps[name] for name in MAPS], (12, 12))
    torch.testing.assert_close(after.keys, stacked[:, :, :10])


def test_a_batch_is_its_members():
    refiner, before, images = Finer(16, MAPS), features(), torch.zeros(2, 3, 96, 96)
    after = refiner(before, images)
    for place in range(2):
        one = DenseFeatures(before.grid[place, None], 32, "", maps={n: m[place, None] for n, m in before.maps.items()})
        alone = refiner(one, images[:1])
        torch.testing.assert_close((after.grid[place], after.keys[place]), (alone.grid[0], alone.keys[0]))


def test_without_maps_there_are_no_keys():
    refiner = Finer(32)
    after = refiner(features(), torch.zeros(2, 3, 96, 96))
    assert after.keys is None
    assert not refiner.makes_keys
    assert torch.equal(after.grid, features().grid)


def test_wrong_use_is_refused(segmentor):
    with pytest.raises(UsageError, match=r"finer features read blocks\.2"):
        Finer(8, ("blocks.2",))(features(), torch.zeros(2, 3, 96, 96))
    with pytest.raises(UsageError, match="the images, which did not come"):
        Finer(8, MAPS)(features())
    with pytest.raises(UsageError, match="above 0; got 0"):
        Finer(0)
    with pytest.raises(UsageError, match="have 32 pixels; got 12"):
        Finer(12).check(segmentor.encoder)


@pytest.mark.parametrize("size", [(16, 16), (1, 300), (50, 75)])
def test_an_encoder_of_convolutions_smooths_by_keys(segmentor, size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    (encoded,) = segmentor.encode([image])
    assert encoded.features.patch_size == 8
    assert encoded.features.keys is not None
    labels, best = segmentor.label(encoded, segmentor.embed(Vocabulary.parse("cat, dog")))
    assert labels.shape == size
    assert best.isfinite().all()


def test_images_of_one_batch_do_not_learn_from_each_other(segmentor):
    generator = np.random.default_rng(1)
    images = [generator.integers(0, 256, (48, 64, 3), np.uint8) for _ in range(2)]
    texts = segmentor.embed(Vocabulary.parse("cat, dog"))
    together = [segmentor.probabilities(one, texts) for one in segmentor.encode(images)]
    alone = [segmentor.probabilities(segmentor.encode([image])[0], texts) for image in images]
    torch.testing.assert_close(together, alone, atol=1e-3, rtol=1e-3)
