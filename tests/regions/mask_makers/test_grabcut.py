"""GrabCut on scenes, where colour tells things from grounds."""

import numpy as np
import pytest
import torch

from densevl.core.errors import UsageError
from densevl.core.registry import build
from densevl.datasets.scenes import render
from densevl.regions.mask_makers import MASK_MAKERS
from densevl.regions.mask_makers.grabcut import GrabCut


def iou(mask, truth):
    return float((mask & truth).sum() / (mask | truth).sum())


def test_it_finds_things_by_their_colour():
    found, boxed = [], []
    for index in range(4):
        scene = render(3, index, 128, "val")
        masks = GrabCut().from_boxes(scene.image, [item.box for item in scene.objects])
        for mask, item in zip(masks, scene.objects, strict=True):
            truth = torch.from_numpy(item.mask)
            box = torch.zeros_like(truth)
            box[item.box[1] : item.box[3], item.box[0] : item.box[2]] = True
            assert not (mask & ~box).any(), "a mask stays in its box"
            found.append(iou(mask, truth))
            boxed.append(iou(box, truth))
    assert np.mean(found) > np.mean(boxed) + 0.1


def test_a_batch_gives_what_its_members_give():
    scene = render(3, 1, 96, "val")
    boxes = [[5, 5, 50, 60], [30.5, 20.2, 80, 90], [0, 0, 96, 96]]
    maker = GrabCut(iterations=2)
    together = maker.from_boxes(scene.image, boxes)
    alone = torch.cat([maker.from_boxes(maker.encode(scene.image), [box]) for box in reversed(boxes)]).flip(0)
    assert torch.equal(together, alone)


@pytest.mark.parametrize(
    "box", [[0, 0, 40, 30], [0, 0, 1, 1], [39, 29, 40, 30], [0, 0, 2, 2], [0, 0, 40, 29], [3, 0, 4, 30]]
)
def test_boxes_at_the_limits(box):
    image = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    assert GrabCut(iterations=1).from_boxes(image, [box]).shape == (1, 30, 40)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (1, 50)])
def test_tiny_and_flat_images(size):
    image = np.full((*size, 3), 7, np.uint8)
    assert GrabCut().from_boxes(image, [[0, 0, size[1], size[0]]]).shape == (1, *size)


def test_it_knows_boxes_only_and_says_its_name():
    maker = build(MASK_MAKERS, "grabcut")
    assert maker.name == "GrabCut"
    assert maker.to("cpu") is maker
    image = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(UsageError, match="boxes only; take a SAM"):
        maker.from_points(image, [[[1, 1]]])
    with pytest.raises(UsageError, match="boxes only; take a SAM"):
        maker.everything(image)
    with pytest.raises(UsageError, match="outside"):
        maker.from_boxes(image, [[9, 9, 12, 12]])
    with pytest.raises(UsageError, match="iterations >= 1"):
        GrabCut(iterations=0)
