"""RoIAlign in the prompter's place, against samples taken one by one."""

import pytest
import torch
from torch.nn.functional import layer_norm, normalize

from densevl.regions.embedders.roi_align import MaskReader, RoIAlignReader


def bilinear(grid: torch.Tensor, x: float, y: float) -> torch.Tensor:
    """The value at a place, where the centre of the first cell is 0."""
    height, width = grid.shape[1:]
    x, y = min(max(x, 0.0), width - 1.0), min(max(y, 0.0), height - 1.0)
    left, top = min(int(x), width - 2), min(int(y), height - 2)
    across, down = x - left, y - top
    upper = grid[:, top, left] * (1 - across) + grid[:, top, left + 1] * across
    lower = grid[:, top + 1, left] * (1 - across) + grid[:, top + 1, left + 1] * across
    return upper * (1 - down) + lower * down


@torch.no_grad()
def test_boxes_are_the_mean_of_fourteen_by_fourteen_samples():
    torch.manual_seed(0)
    reader, grid = RoIAlignReader(8, 6).eval(), torch.randn(2, 8, 6, 5)
    reader.ln_1.weight.mul_(1.3)
    reader.ln_1.bias.add_(0.2)
    boxes = torch.tensor([[[0.1, 0.2, 0.7, 0.9], [0.0, 0.0, 1.0, 1.0]], [[0.4, 0.4, 0.5, 0.5], [0.3, 0.0, 0.9, 0.4]]])
    found = reader(grid, reader.boxes(boxes))
    for image in range(2):
        normed = layer_norm(grid[image].movedim(0, -1), (8,)).movedim(-1, 0)
        for place, (x0, y0, x1, y1) in enumerate((boxes[image] * torch.tensor([5.0, 6.0, 5.0, 6.0])).tolist()):
            samples = [
                bilinear(normed, x0 + (x1 - x0) * (i + 0.5) / 14 - 0.5, y0 + (y1 - y0) * (j + 0.5) / 14 - 0.5)
                for i in range(14)
                for j in range(14)
            ]
            x = reader.value(torch.stack(samples).mean(0) * reader.ln_1.weight + reader.ln_1.bias)
            expected = normalize(reader.project(reader.ln_post(x + reader.mlp(reader.ln_2(x)))), dim=0)
            torch.testing.assert_close(found[image, place], expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_masks_are_weighted_means_and_batches_change_nothing():
    torch.manual_seed(1)
    reader, grid = MaskReader(8, 6).eval(), torch.randn(2, 8, 3, 4)
    shares = torch.rand(2, 5, 3, 4)
    found = reader(grid, reader.masks(grid, shares))
    normed = reader.ln_1(grid[1].flatten(1).T)
    weights = shares[1, 2].flatten() / shares[1, 2].sum()
    x = reader.value(weights @ normed)
    expected = normalize(reader.project(reader.ln_post(x + reader.mlp(reader.ln_2(x)))), dim=0)
    torch.testing.assert_close(found[1, 2], expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(reader(grid[1:], reader.masks(grid[1:], shares[1:])), found[1:], rtol=1e-4, atol=1e-5)
    assert found.norm(dim=-1).numpy() == pytest.approx(1, abs=1e-5)
    assert reader(grid, reader.masks(grid, shares * 0)).isfinite().all()
