"""Sums and judged cells of images with masks, against cells gathered one by one."""

import numpy as np
import pytest
import torch
from toys.clip import tiny_clip

from densevl.classifiers.sums import Sums
from densevl.dense.stack import FeatureStack
from densevl.tasks.segmentation.stacked import stacked_segmentor
from densevl.tasks.segmentation.windows import WindowPlan
from densevl.tasks.teaching.light import LIGHTS, relit
from densevl.tasks.teaching.masked_cells import FOLDS, MaskedCells, MaskedImage, masked_cells, stripes

STACK = FeatureStack(("blocks.0", "features"), stride=8, short_side=48, window=32, window_stride=16)


@pytest.fixture(scope="module")
def segmentor():
    return stacked_segmentor(tiny_clip().float(), STACK)


@pytest.fixture(scope="module")
def image():
    rng = np.random.default_rng(3)
    masks = torch.zeros(3, 48, 64, dtype=torch.bool)
    masks[0, :, :20] = True
    masks[1, 8:40, 30:] = True
    masks[2, 21:23, 50:53] = True  # smaller than a cell, and inside of the second
    return MaskedImage(rng.integers(0, 256, (48, 64, 3), np.uint8), masks, torch.tensor([1, 0, 2]))


def by_hand(segmentor, image, picture):
    """Vectors and labels of the cells of each mask; masks and cells are aligned, the image keeps its size."""
    (encoded,) = segmentor.encode([picture])
    vectors, labels = [], []
    for place, (left, top, _, _) in enumerate(encoded.plan.boxes):
        for y in range(4):
            for x in range(4):
                cell = np.s_[:, top + 8 * y : top + 8 * y + 8, left + 8 * x : left + 8 * x + 8]
                parts = image.masks[cell].float().mean((1, 2)).tolist()
                for part, label, least in zip(parts, image.labels.tolist(), (0.5, 0.5, 4 / 64), strict=True):
                    if part >= least:
                        vectors.append(encoded.features.grid[place, :, y, x])
                        labels.append(label)
    return torch.stack(vectors), torch.tensor(labels)


@pytest.mark.parametrize("lights", [False, True])
def test_sums_are_those_of_the_cells_that_masks_cover(segmentor, image, lights):
    found = masked_cells(segmentor, image, 4, lights=lights, most=1000)
    pictures = [image.image, *(relit(image.image, light) for light in LIGHTS if lights)]
    every = [by_hand(segmentor, image, picture) for picture in pictures]
    expected = Sums.of(torch.cat([one[0] for one in every]), torch.cat([one[1] for one in every]), 4)
    sums = found.sums(lights)
    assert sums.counts.tolist() == expected.counts.tolist()
    assert sums.counts[3] == 0
    torch.testing.assert_close(sums.totals, expected.totals, atol=1e-5, rtol=0)
    torch.testing.assert_close(sums.squares, expected.squares, atol=1e-5, rtol=0)
    assert bool(found.lit) == lights


def test_the_mirror_image_counts_in_the_fold_of_its_pixels(segmentor, image):
    """Stripes lie side by side, so the first one of the mirror image shows what the last one of the image does."""
    turned = image._replace(image=image.image[:, ::-1].copy(), masks=image.masks.flip(-1))
    both, plain, other = (
        masked_cells(segmentor, image, 4, flip=True, most=1000),
        masked_cells(segmentor, image, 4, most=1000),
        masked_cells(segmentor, turned, 4),
    )
    assert torch.equal(both.vectors, plain.vectors)  # nothing is judged by the mirror image
    assert set(both.plain) == set(plain.plain) | {FOLDS - 1 - fold for fold in other.plain}
    for fold in range(FOLDS):
        expected = plain.plain[fold] + other.plain[FOLDS - 1 - fold]
        assert both.plain[fold].counts.tolist() == expected.counts.tolist()
        torch.testing.assert_close(both.plain[fold].totals, expected.totals)
    one = masked_cells(segmentor, image, 4, fold=2, flip=True)
    assert set(one.plain) == {2}
    torch.testing.assert_close(one.plain[2].totals, both.sums(False).totals)


def test_the_stripes_of_a_tall_image_stay_in_its_mirror_image(segmentor, image):
    tall = MaskedImage(image.image.transpose(1, 0, 2).copy(), image.masks.mT.contiguous(), image.labels)
    turned = tall._replace(image=tall.image[:, ::-1].copy(), masks=tall.masks.flip(-1))
    both, plain, other = (
        masked_cells(segmentor, tall, 4, flip=True),
        masked_cells(segmentor, tall, 4),
        masked_cells(segmentor, turned, 4),
    )
    for fold in range(FOLDS):
        torch.testing.assert_close(both.plain[fold].totals, (plain.plain[fold] + other.plain[fold]).totals)


def test_a_fold_that_is_left_out_leaves_nothing_of_its_cells(segmentor, image):
    """Other pixels in the last stripe change what is judged there, and nothing that it is judged by."""
    stack = FeatureStack(("blocks.0",), stride=8, short_side=48, window=16, window_stride=16)
    alone = stacked_segmentor(segmentor.encoder, stack)  # windows end where stripes do
    changed = image.image.copy()
    changed[:, 48:] = 255 - changed[:, 48:]
    first, second = (
        masked_cells(alone, image._replace(image=pixels), 3, most=999) for pixels in (image.image, changed)
    )
    last = FOLDS - 1
    assert not torch.allclose(first.vectors[first.folds == last], second.vectors[second.folds == last])
    assert not torch.allclose(first.sums(False).totals, second.sums(False).totals)
    for one, other in zip(vars(first.sums(False, last)).values(), vars(second.sums(False, last)).values(), strict=True):
        torch.testing.assert_close(one, other)


def test_judged_cells_are_those_that_masks_touch(segmentor, image):
    found = masked_cells(segmentor, image, 4, most=1000)
    assert found.parts.shape[1] == 4
    assert bool((found.parts.sum(1) > 0).all())
    assert len(found.vectors) == len(found.parts) == len(found.folds)
    torch.testing.assert_close(found.vectors.norm(dim=1), torch.ones(len(found.vectors)))
    fewer = masked_cells(segmentor, image, 4, most=5)
    assert len(fewer.vectors) == 5
    again = masked_cells(segmentor, image, 4, most=5)
    torch.testing.assert_close(fewer.vectors, again.vectors)


def test_images_are_joined(segmentor, image):
    one, other = (masked_cells(segmentor, image, 4, fold, most=100) for fold in (0, 2))
    both = MaskedCells.cat([one, other])
    assert set(both.folds.tolist()) == {0, 2}
    torch.testing.assert_close(both.sums(False).totals, one.sums(False).totals * 2)
    torch.testing.assert_close(both.sums(False, without=2).totals, one.sums(False).totals)
    assert not both.sums(False, without=0).counts.equal(both.sums(False).counts)
    assert not one.sums(False, without=0).counts.any()


def test_stripes_cut_the_longer_side_into_quarters():
    wide = stripes(WindowPlan((16, 64), 16, 8), 8)
    assert wide.shape == (7, 2, 2)
    assert wide[:, 0].tolist() == [[0, 0], [0, 1], [1, 1], [1, 2], [2, 2], [2, 3], [3, 3]]
    tall = stripes(WindowPlan((64, 16), None), 8)
    assert tall.shape == (1, 8, 2)
    assert tall[0].tolist() == [[fold, fold] for fold in (0, 0, 1, 1, 2, 2, 3, 3)]
