import math

import pytest
import torch

from densevl.metrics.single import SingleIoU


def test_iou_single_sums_over_the_images_that_show_a_class():
    generator = torch.Generator().manual_seed(0)
    found, truth, counted = torch.rand(3, 6, 2, 5, 7, generator=generator) > 0.4
    single = SingleIoU(4)
    for image in range(6):
        for place, label in enumerate((0, 2)):
            single.add(label, found[image, place], truth[image, place], counted[image, place])
    expected = []
    for place in range(2):
        pairs = [
            (f, t)
            for image in range(6)
            for f, t, c in zip(
                found[image, place].flatten().tolist(),
                truth[image, place].flatten().tolist(),
                counted[image, place].flatten().tolist(),
                strict=True,
            )
            if c
        ]
        expected.append(sum(f and t for f, t in pairs) / sum(f or t for f, t in pairs))
    assert single.mean() == pytest.approx(100 * sum(expected) / 2)
    assert single.mean([2, 3]) == pytest.approx(100 * expected[1])


def test_classes_that_were_not_asked_for_have_no_mean():
    assert math.isnan(SingleIoU(3).mean())
