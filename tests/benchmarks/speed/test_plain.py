import math

import numpy as np
import pytest
import torch
from torch import Tensor

from densevl.benchmarks.speed import configured_segmentor
from densevl.benchmarks.speed.plain import PlainSegmentor, plain_scores
from densevl.core.errors import UsageError
from densevl.core.vocabulary import Vocabulary
from densevl.datasets.scenes import render
from densevl.tasks.segmentation.segmentor import Segmentor
from densevl.tasks.segmentation.windows import WindowPlan


@pytest.fixture(scope="module")
def segmentor() -> Segmentor:
    return configured_segmentor("mini", weights="rule", short_side=64, window=64, stride=32)


def sample(grid: Tensor, y: float, x: float) -> Tensor:
    """Bilinear value of "k h w" at a position in units of its cells, constant beyond the outermost centres."""
    height, width = grid.shape[1:]
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = min(int(y), max(height - 2, 0)), min(int(x), max(width - 2, 0))
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    down, across = y - top, x - left
    upper = grid[:, top, left] * (1 - across) + grid[:, top, right] * across
    lower = grid[:, bottom, left] * (1 - across) + grid[:, bottom, right] * across
    return upper * (1 - down) + lower * down


def test_scores_are_those_of_the_definition_pixel_by_pixel() -> None:
    plan, patch, size = WindowPlan((11, 14), 8, 5), 3, (9, 17)
    grids = torch.rand(len(plan), 2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    merged = torch.empty(2, *plan.size, dtype=torch.float64)
    for y in range(plan.size[0]):
        for x in range(plan.size[1]):
            seen = [
                sample(
                    grids[row * len(plan.xs) + column], (y - top + 0.5) / patch - 0.5, (x - left + 0.5) / patch - 0.5
                )
                for row, top in enumerate(plan.ys)
                for column, left in enumerate(plan.xs)
                if top <= y < top + 8 and left <= x < left + 8
            ]
            merged[:, y, x] = torch.stack(seen).mean(0)
    expected = torch.empty(2, *size, dtype=torch.float64)
    for y in range(size[0]):
        for x in range(size[1]):
            expected[:, y, x] = sample(merged, (y + 0.5) * 11 / 9 - 0.5, (x + 0.5) * 14 / 17 - 0.5)
    torch.testing.assert_close(plain_scores(grids, plan, patch, size), expected)


FINE = {"type": "dinoiser", "weights": "mini-dinoiser", "gamma": 0.97}
PATCHES = {"type": "dinoiser", "weights": "random:0", "width": 192, "gamma": 0.97}
NEAR = {"radius": 2.5, "rounds": 3}


@pytest.mark.parametrize("refiners", [[], [PATCHES], [{**PATCHES, **NEAR}], [FINE], [{**FINE, **NEAR}]])
def test_the_fast_path_computes_the_same(refiners: list) -> None:
    segmentor = configured_segmentor("mini", weights="rule", short_side=64, window=61, stride=32, refiners=refiners)
    image = render(0, 0, (75, 120)).image
    texts = segmentor.embed(Vocabulary.parse("circle|ring, star, grass, sand|beach, water"))
    plain = PlainSegmentor(segmentor)
    windows, plan, size = plain.encode(image)
    (encoded,) = segmentor.encode([image])
    assert (encoded.plan, encoded.size) == (plan, size)
    expected = torch.stack(windows)
    assert (encoded.features.grid - expected).abs().max() < 1e-4 * expected.abs().max()
    labels = plain.label((windows, plan, size), texts)
    assert labels.unique().numel() > 1
    assert (segmentor.label(encoded, texts)[0] == labels).double().mean() > 0.999


@pytest.mark.parametrize(
    "changes",
    [{"stages": ["prompt-denoising"]}, {"stages": ["key-smoothing"]}, {"readout": "maskclip-reduced"}],
)
def test_what_is_not_written_down_is_refused(changes: dict) -> None:
    with pytest.raises(UsageError, match="plain implementation is MaskCLIP"):
        PlainSegmentor(configured_segmentor("mini", weights="rule", **changes))


def test_heads_that_read_something_else_are_refused() -> None:
    heads = {"type": "dinoiser", "weights": "random:0", "layer": "blocks.0.mlp"}
    with pytest.raises(UsageError, match=r"the heads read blocks\.0\.mlp"):
        PlainSegmentor(configured_segmentor("mini", weights="rule", refiners=[heads]))


def test_another_dtype_is_refused() -> None:
    with pytest.raises(UsageError, match="float32"):
        PlainSegmentor(configured_segmentor("mini", weights="rule").to(torch.bfloat16))


def test_an_image_smaller_than_a_patch(segmentor: Segmentor) -> None:
    plain = PlainSegmentor(configured_segmentor("mini", weights="rule", short_side=None))
    texts = segmentor.embed(Vocabulary.parse("circle, star"))
    labels = plain.label(plain.encode(np.full((1, 3, 3), 99, np.uint8)), texts)
    assert labels.shape == (1, 3)
    assert math.prod(labels.shape) == (labels >= 0).sum()
