"""Noisy boxes: inside the image, of the spread that is told, the same each time."""

import pytest
import torch

from densevl.datasets.regions.noise import SCALED, SHIFTED, noisy_boxes


def test_noise_has_its_spread_and_returns():
    boxes = torch.tensor([4000.0, 5000.0, 4100.0, 5300.0]).expand(20000, 4)
    noisy = noisy_boxes(boxes, (10000, 10000), torch.Generator().manual_seed(0))
    assert torch.equal(noisy, noisy_boxes(boxes, (10000, 10000), torch.Generator().manual_seed(0)))
    sides, centres = noisy[:, 2:] - noisy[:, :2], (noisy[:, 2:] + noisy[:, :2]) / 2
    shift = (centres - torch.tensor([4050.0, 5150.0])) / torch.tensor([100.0, 300.0])
    factor = (sides / torch.tensor([100.0, 300.0])).log()
    assert shift.mean(0).abs().max() < 0.01
    assert shift.std(0).tolist() == pytest.approx([SHIFTED] * 2, rel=0.03)
    assert factor.std(0).tolist() == pytest.approx([SCALED] * 2, rel=0.03)


def test_boxes_stay_inside_and_keep_some_extent():
    corners = torch.rand(500, 2, 2, generator=torch.Generator().manual_seed(1)) * torch.tensor([90.0, 60.0])
    boxes = torch.cat([corners.amin(1), corners.amax(1) + 1], dim=1)
    noisy = noisy_boxes(boxes, (61, 91), torch.Generator().manual_seed(2))
    assert noisy[:, :2].min() >= 0
    assert (noisy[:, 2:] <= torch.tensor([91.0, 61.0])).all()
    assert (noisy[:, 2:] - noisy[:, :2]).min() >= 3.99
    assert noisy_boxes(boxes[:0], (61, 91), torch.Generator()).shape == (0, 4)
