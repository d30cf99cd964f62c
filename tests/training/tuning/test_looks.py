"""How examples are looked at: unchanged they are what the embedder gives, whatever their order."""

import pytest
import torch
from toys.clip import tiny_clip
from toys.tuning import two_colours

from densevl.core.errors import UsageError
from densevl.core.images import read_image
from densevl.core.regions import Regions
from densevl.encoders.clip import WholeImageEncoder
from densevl.regions.embedders.marked_images import MarkedImages
from densevl.regions.embedders.mask_pooling import MaskPooling
from densevl.training.tuning.looks import FrozenLooks, RegionLooks, Shown, clip_of, looks_of

LEFT, RIGHT = [0.0, 0.0, 12.0, 24.0], [12.0, 0.0, 24.0, 24.0]


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """Two images with two regions each, numbered crosswise."""
    images = two_colours(tmp_path_factory.mktemp("looks"), 2)
    regions = Regions.from_boxes([LEFT, RIGHT], (24, 24))
    return [Shown(images[0], regions, [3, 0]), Shown(images[1], regions, [1, 2])]


@pytest.fixture(scope="module")
def pooling():
    return MaskPooling(tiny_clip().eval(), "plain", short_side=16)


def test_regions_come_in_the_order_that_is_asked_for(shown, pooling):
    found = RegionLooks(pooling, shown).look([0, 1, 3, 2], [None] * 4).vectors
    first, second = (pooling.embed(read_image(one.image), one.regions).vectors for one in shown)
    torch.testing.assert_close(found, torch.stack([first[1], second[0], first[0], second[1]]))


def test_mirrored_regions_are_those_of_the_mirror_image(shown, pooling):
    looks = RegionLooks(pooling, shown, flip=True)
    seen = {tuple(looks.look([0], [seed]).vectors[0].tolist()) for seed in range(8)}
    image = read_image(shown[0].image)[:, ::-1].copy()
    mirrored = pooling.embed(image, Regions.from_boxes([LEFT], (24, 24))).vectors[0]
    whole = looks.look([0], [None]).vectors[0]
    assert len(seen) == 2
    assert any(torch.allclose(torch.tensor(one), mirrored.float()) for one in seen)
    assert any(torch.allclose(torch.tensor(one), whole) for one in seen)


def test_other_views_and_tokens_of_dense_features_are_refused(shown, pooling):
    with pytest.raises(UsageError, match="tune crops of regions: --embedder marked-images, or --for images"):
        RegionLooks(pooling, shown).look([0], [1], view="moco")


@pytest.mark.parametrize("prompts", [["crop"], ["crop", "blur_box_mask"]])
def test_unchanged_crops_are_what_the_embedder_gives(shown, prompts):
    embedder = MarkedImages(tiny_clip().eval(), prompts)
    found = looks_of(embedder, shown, True, (0.08, 1.0), True).look([3, 0], [None, None]).vectors
    torch.testing.assert_close(found, embedder.embed(read_image(shown[0].image), shown[0].regions).vectors)


def test_frozen_looks_are_made_once_and_the_first_is_unchanged(shown):
    embedder = MarkedImages(tiny_clip().eval(), ["crop"])
    looks = looks_of(embedder, shown, False, (0.08, 0.2), False, views=3)
    plain = looks_of(embedder, shown, True)
    assert isinstance(looks, FrozenLooks)
    assert torch.equal(looks.look([2], [None]).vectors, plain.look([2], [None]).vectors)
    views = {tuple(looks.look([2], [seed]).vectors[0].tolist()) for seed in range(9)}
    assert len(views) == 3


def test_only_a_clip_of_a_vision_transformer_can_be_tuned():
    tiny = tiny_clip()
    whole = WholeImageEncoder(tiny.model, tiny.text.tokenizer, "whole images alone")
    with pytest.raises(UsageError, match="tuning goes through a CLIP with a vision transformer"):
        clip_of(MarkedImages(whole, ["crop"]))
