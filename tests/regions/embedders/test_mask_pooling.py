import numpy as np
import pytest
import torch
import torch.nn.functional as F

from densevl.core.errors import UsageError
from densevl.core.regions import Regions
from densevl.core.registry import build
from densevl.datasets.scenes import render
from densevl.regions.embedders import REGION_EMBEDDERS
from densevl.regions.embedders.mask_pooling import MaskPooling, pool_regions


@pytest.fixture(scope="module")
def embedder(mini) -> MaskPooling:
    return MaskPooling(mini, short_side=96)


def pooled_by_pixels(grid, masks, patch):
    """Every pixel votes with the features under it: many samples a pixel, since patches need not end at pixels."""
    fine, vectors = 8, []
    for mask in masks:
        y, x = np.nonzero(np.kron(mask, np.ones((fine, fine), bool)))
        rows, columns = ((c + 0.5) / fine / p for c, p in zip((y, x), patch, strict=True))
        vectors.append(grid[:, rows.astype(int), columns.astype(int)].mean(1))
    return F.normalize(torch.stack(vectors), dim=1)


@pytest.mark.parametrize("patch", [(4.0, 4.0), (3.375, 5.125), (7.5, 6.25)])
def test_pooling_is_the_mean_over_pixels(patch):
    rng = np.random.default_rng(0)
    grid = torch.randn(6, 9, 8)
    masks = rng.random((3, 27, 31)) > np.array([0.3, 0.9, 0.99])[:, None, None]
    found = pool_regions(grid, Regions.from_masks(masks), patch)
    assert torch.allclose(found, pooled_by_pixels(grid, masks, patch), atol=1e-4)


def test_boxes_are_masks_that_are_full():
    grid = torch.randn(6, 9, 8)
    boxes = Regions.from_boxes([[3, 2, 20, 17], [0, 0, 31, 27], [30, 26, 31, 27]], (27, 31))
    masks = torch.zeros(3, 27, 31, dtype=torch.bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes.boxes.int().tolist(), strict=True):
        mask[y0:y1, x0:x1] = True
    full = pool_regions(grid, boxes.with_masks(masks), (3.375, 4.0))
    assert torch.allclose(pool_regions(grid, boxes, (3.375, 4.0)), full, atol=1e-5)
    empty = pool_regions(grid, boxes.with_masks(torch.zeros_like(masks)), (3.375, 4.0))
    assert torch.allclose(empty, full, atol=1e-5)


def test_one_encode_serves_any_regions_and_each_is_as_if_alone(embedder, scene, regions):
    features = embedder.encode(scene.image)
    whole = embedder.pool(features, regions)
    alone = torch.cat([embedder.embed(scene.image, regions[i]).vectors for i in range(len(regions))])
    assert torch.allclose(whole.vectors, alone, atol=1e-5)
    assert torch.allclose(whole.vectors.norm(dim=1), torch.ones(len(regions)), atol=1e-5)
    assert whole.model_id == embedder.encoder.model_id
    many = Regions.from_boxes(regions.boxes.repeat(40, 1), regions.size).with_masks(regions.masks.repeat(40, 1, 1))
    assert torch.allclose(embedder.pool(features, many).vectors, whole.vectors.repeat(40, 1), atol=1e-5)
    assert len(embedder.pool(features, regions[:0])) == 0


def test_boxes_where_masks_shall_not_count(mini, embedder, scene, regions):
    boxes = MaskPooling(mini, short_side=96, use_masks=False).embed(scene.image, regions)
    assert torch.allclose(boxes.vectors, embedder.embed(scene.image, regions.with_masks(None)).vectors, atol=1e-5)
    assert not torch.allclose(boxes.vectors, embedder.embed(scene.image, regions).vectors, atol=1e-3)


def test_the_mini_clip_knows_pooled_objects():
    config = {"type": "mask-pooling", "encoder": {"type": "clip", "weights": "mini-clip"}, "short_side": 128}
    embedder = build(REGION_EMBEDDERS, config)
    right = total = 0
    for index in range(3):
        scene = render(11, index, (96, 120), count=(4, 4))
        regions = Regions.from_masks(np.stack([item.mask for item in scene.objects]))
        names = [item.name for item in scene.objects]
        best = embedder.embed(scene.image, regions).cosines(embedder.encoder.embed_texts(names)).argmax(0)
        right += sum(names[found] == name for found, name in zip(best.tolist(), names, strict=True))
        total += len(names)
    assert right > 0.6 * total


def test_regions_of_another_image(embedder, scene):
    with pytest.raises(UsageError, match="belong to an image"):
        embedder.embed(scene.image, Regions.whole((9, 9)))
    assert embedder.protocol["short_side"] == 96
