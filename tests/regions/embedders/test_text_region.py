"""TextRegion against plain loops in float64, on the mini CLIP; golden outputs are in tests/golden."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from open_clip import SimpleTokenizer
from toys.resnet import resnet_clip

from densevl.core.errors import UsageError
from densevl.core.regions import Regions
from densevl.encoders.clip import CLIPEncoder
from densevl.regions.embedders.text_region import TextRegion, between_regions, masks_on_grid


@pytest.fixture(scope="module")
def embedder(mini) -> TextRegion:
    return TextRegion(mini, short_side=96, crop=mini.patch_size * 4)


def test_patches_between_regions_by_loops():
    generator = torch.Generator().manual_seed(3)
    units = F.normalize(torch.randn(30, 5, generator=generator), dim=1)
    members = torch.rand(4, 30, generator=generator) > 0.6
    members[3] = False
    members[:, 7] = False
    expected, differences = [], []
    for p in range(30):
        own, others = [], []
        for region in members[:3]:
            inside = [q for q in range(30) if region[q]]
            alike = sum(float(units[p].double() @ units[q].double()) for q in inside) / len(inside)
            (own if region[p] else others).append(alike)
        difference = (sum(own) / len(own) if own else 0) - (sum(others) / len(others) if others else 0)
        differences.append(difference)
        expected.append(bool(own) and difference < 0.07)
    assert min(abs(one - 0.07) for one in differences) > 1e-5
    assert between_regions(units, members, 0.07).tolist() == expected
    assert 0 < sum(expected) < 30


def test_tokens_are_sums_of_values_over_soft_masks(embedder, scene, regions):
    values, last = embedder.values(scene.image)
    plain = TextRegion(embedder.encoder, short_side=96, crop=embedder.crop, removal=None)
    found = plain.embed(scene.image, regions).vectors
    heads, width = values.shape[:2]
    soft = masks_on_grid(regions.masks, tuple(values.shape[2:]))
    for vector, mask in zip(found, soft, strict=True):
        total = torch.zeros(1, heads, 1, width, dtype=torch.float64)
        for y in range(mask.shape[0]):
            for x in range(mask.shape[1]):
                total[0, :, 0] += float(mask[y, x]) * values[:, :, y, x].double()
        token = last.block.out(total.float())
        token = token + last.block.mlp(last.block.norm_2(token))
        expected = F.normalize(plain.encoder.to_joint(token)[0, 0], dim=0)
        torch.testing.assert_close(vector, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("size", [(96, 96), (61, 150), (20, 200), (7, 5)])
def test_any_image_and_each_of_a_batch_is_as_if_alone(embedder, size):
    generator = np.random.default_rng(1)
    images = [generator.integers(0, 256, (*size, 3), np.uint8) for _ in range(2)]
    masks = torch.zeros(2, *size, dtype=torch.bool)
    masks[0, : size[0] // 2], masks[1, :, size[1] // 2 :] = True, True
    regions = Regions.from_masks(masks)
    together = embedder.embed_batch(images, [regions, regions])
    for image, found in zip(images, together, strict=True):
        torch.testing.assert_close(found.vectors, embedder.embed(image, regions).vectors)
        assert found.vectors.isfinite().all()
        torch.testing.assert_close(found.vectors.norm(dim=1), torch.ones(2), atol=1e-5, rtol=0)
    assert len(embedder.embed(images[0], regions[:0])) == 0


def test_regions_without_a_patch(mini, embedder, scene):
    """A region of a few pixels between the centres of patches, and one whose patches are all left out."""
    tiny = Regions.from_boxes([[0, 0, 1, 1], [0, 0, 60, 60]], scene.image.shape[:2]).with_filled_boxes()
    found = embedder.embed(scene.image, tiny).vectors
    torch.testing.assert_close(found.norm(dim=1), torch.ones(2), atol=1e-5, rtol=0)
    dropped = TextRegion(mini, short_side=96, crop=embedder.crop, drop=True).embed(scene.image, tiny).vectors
    assert not dropped[0].any()
    everything = TextRegion(mini, short_side=96, crop=embedder.crop, removal=2.0)
    torch.testing.assert_close(everything.embed(scene.image, tiny).vectors.norm(dim=1), torch.ones(2))
    boxes = embedder.embed(scene.image, tiny.with_masks(None)).vectors
    torch.testing.assert_close(boxes, found)


def test_what_cannot_be_read_is_one_error(mini, scene, regions):
    with pytest.raises(UsageError, match="multiple of the patch"):
        TextRegion(mini, crop=mini.patch_size + 1)
    with pytest.raises(UsageError, match="positions must be one of"):
        TextRegion(mini, positions="round")
    with pytest.raises(UsageError, match="batch must be"):
        TextRegion(mini, batch=0)
    with pytest.raises(UsageError, match="belong to an image"):
        TextRegion(mini).embed(scene.image[:-1], regions)
    pooling = CLIPEncoder(resnet_clip(), SimpleTokenizer(), "resnet")
    with pytest.raises(UsageError, match="in the place of the last attention"):
        TextRegion(pooling, crop=64).embed(scene.image, regions)
