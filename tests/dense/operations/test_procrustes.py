import numpy as np
import pytest
import scipy.linalg
import torch

from densevl.dense.operations.procrustes import centred, polar


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_centred():
    tokens, weights = draw(2, 5, 3), draw(2, 5, 1, seed=1).abs()
    found = centred(tokens, weights)
    for b in range(2):
        total = sum(weights[b, :, 0].tolist()) + 1e-6
        mean = sum(weights[b, i] * tokens[b, i] for i in range(5)) / total
        torch.testing.assert_close(found[b], tokens[b] - mean)


def test_the_exact_factor_is_that_of_the_rotation_problem():
    a, b = draw(20, 4), draw(20, 4, seed=1)
    expected, _ = scipy.linalg.orthogonal_procrustes(a.numpy(), b.numpy())
    torch.testing.assert_close(polar(a.mT @ b, None), torch.from_numpy(expected))


def test_many_steps_lead_to_the_exact_factor():
    matrix = draw(3, 6, 6)
    exact = polar(matrix, None)
    off = [float((polar(matrix, steps) - exact).abs().max()) for steps in (3, 5, 10, 40)]
    assert off == sorted(off, reverse=True)
    assert off[-1] < 0.02  # 1e-6 I keeps it from the exact factor


def test_steps_by_their_definition():
    matrix = draw(5, 5).numpy()
    square = matrix.T @ matrix
    size = np.sqrt((square**2).sum())
    y, z, one = square / size + 1e-6 * np.eye(5), np.eye(5), np.eye(5)
    for _ in range(5):
        turn = 0.5 * (3 * one - z @ y)
        y, z = y @ turn, turn @ z
    torch.testing.assert_close(polar(torch.from_numpy(matrix)), torch.from_numpy(matrix @ z / np.sqrt(size)))


@pytest.mark.parametrize("steps", [5, None])
def test_tokens_that_are_all_alike_have_a_finite_factor(steps):
    assert polar(torch.zeros(2, 4, 4), steps).isfinite().all()
