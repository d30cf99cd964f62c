"""TLP by its definition: a dense matrix and textbook conjugate gradients in float64."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.core.vocabulary import Vocabulary
from densevl.dense.stages.tlp import TextLaplacian, self_likeness


def texts(count, seed=0):
    vectors = F.normalize(torch.randn(count, 6, generator=torch.Generator().manual_seed(seed)), dim=1)
    words = tuple((f"class {k}",) for k in range(count))
    return TextEmbeddings(vectors, torch.arange(count), Vocabulary("toy", words), "toy", "none")


def case(size, count=3, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return 0.3 * torch.randn(count, *size, generator=draw), torch.rand(3, *size, generator=draw)


def solution(start, gray, likeness, steps):
    """Cosines behind some steps, or behind all of them for None."""
    count, _, width = start.shape
    powers = np.exp(start)
    p = powers / powers.sum(0)
    confidence = np.maximum(p.max(0), 0.05) ** 2 * (1 + (p**2 * likeness[:, None, None]).sum(0))
    matrix = np.diag(confidence.flatten())
    for axis in (0, 1):
        steps_of_gray = np.abs(np.diff(gray, axis=axis))
        for i, j in np.ndindex(*steps_of_gray.shape):
            a, b = (i, j), ((i + 1, j) if axis == 0 else (i, j + 1))
            agree = sum(p[c][a] * p[c][b] * likeness[c] for c in range(count))
            w = min(1, math.exp(-5 * steps_of_gray[i, j] / (steps_of_gray.mean() + 1e-6)) * (1 + agree))
            m, n = (place[0] * width + place[1] for place in (a, b))
            matrix[[m, n], [m, n]] += w
            matrix[[m, n], [n, m]] -= w
    seeds = start.reshape(count, -1).T
    target = confidence.reshape(-1, 1) * seeds
    if steps is None:
        return np.linalg.solve(matrix, target).T.reshape(start.shape)
    x = seeds.copy()
    residual = target - matrix @ x
    direction = residual.copy()
    for _ in range(steps):
        image = matrix @ direction
        alpha = (residual**2).sum() / (direction * image).sum()
        x, before = x + alpha * direction, (residual**2).sum()
        residual = residual - alpha * image
        direction = residual + (residual**2).sum() / before * direction
    return x.T.reshape(start.shape)


@pytest.mark.parametrize("steps", [1, 4, 25])
@pytest.mark.parametrize("size", [(6, 7), (1, 8), (5, 1)])
def test_by_its_definition(size, steps):
    scores, image = case(size)
    std = (0.2, 0.3, 0.4)
    found = TextLaplacian(grid=80, steps=steps, std=std)(scores, image, texts=texts(3))
    gray = sum(
        w / s * channel.double().numpy() for w, s, channel in zip((0.299, 0.587, 0.114), std, image, strict=True)
    )
    expected = solution(scores.double().numpy(), gray, self_likeness(texts(3).vectors).double().numpy(), steps)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3, atol=1e-5)
    if steps == 25 and min(size) == 1:  # few unknowns: the solution itself
        exact = solution(scores.double().numpy(), gray, self_likeness(texts(3).vectors).double().numpy(), None)
        np.testing.assert_allclose(found.numpy(), exact, rtol=1e-3, atol=1e-4)


def test_the_likeness_of_texts_to_themselves():
    vectors = texts(5).vectors.double()
    powers = np.exp((vectors @ vectors.T / 0.5).numpy())
    rows = powers / powers.sum(1, keepdims=True) + 10 * np.eye(5)
    expected = (rows / rows.sum(1, keepdims=True)).diagonal()
    np.testing.assert_allclose(self_likeness(vectors).numpy(), expected)


def test_cells_are_averaged_and_the_rest_of_a_side_is_dropped():
    scores, image = case((13, 23))
    found = TextLaplacian(grid=6)(scores, image, texts=texts(3))  # cells of 2 × 4 pixels
    small = F.avg_pool2d(scores[None, :, :12, :20], (2, 4))[0], F.avg_pool2d(image[None, :, :12, :20], (2, 4))[0]
    expected = TextLaplacian(grid=6)(*small, texts=texts(3))
    expected = F.interpolate(expected[None], (13, 23), mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("count", [1, 4])
def test_one_class_and_one_colour_have_a_result(count):
    scores, _ = case((9, 9), count)
    found = TextLaplacian(grid=4)(scores, torch.full((3, 9, 9), 0.5), texts=texts(count))
    assert found.isfinite().all()
    flat = TextLaplacian(grid=4)(torch.full((count, 9, 9), 0.2), torch.rand(3, 9, 9), texts=texts(count))
    torch.testing.assert_close(flat, torch.full((count, 9, 9), 0.2))


def test_bad_input():
    scores, image = case((6, 6), 4)
    with pytest.raises(UsageError, match=r"cosines of queries, 3 here, and got 4 scores; take average=logits"):
        TextLaplacian()(scores, image, texts=texts(3))
    for wrong in ({"grid": 0}, {"steps": 0}, {"std": (1.0, 0.0, 1.0)}, {"std": (1.0,)}):
        with pytest.raises(UsageError, match="TLP takes a grid"):
            TextLaplacian(**wrong)
