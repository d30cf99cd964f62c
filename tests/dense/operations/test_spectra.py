import numpy as np
import pytest
import scipy.optimize
import torch

from densevl.dense.operations.spectra import assign, low_rank, spectral_distances, spectrum


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_spectra_are_those_of_the_kernels():
    keys = draw(2, 9, 4)
    found = spectrum(keys)
    for one, values in zip(keys, found, strict=True):
        expected = np.linalg.eigvalsh((one @ one.T).numpy())[::-1][:4]
        np.testing.assert_allclose(values.numpy(), expected / expected.sum())
    assert not spectrum(torch.zeros(3, 4)).any()


def test_distances():
    left, right = spectrum(draw(2, 9, 4)), spectrum(draw(3, 9, 6, seed=1))
    found = spectral_distances(left, right)
    for i in range(2):
        for j in range(3):
            longer = [*left[i].tolist(), 0, 0]
            expected = sum((a - b) ** 2 for a, b in zip(longer, right[j].tolist(), strict=True)) / 2
            assert float(found[i, j]) == pytest.approx(expected**0.5)
    assert ((found >= 0) & (found <= 1)).all()


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (3, 7), (12, 12)])
def test_the_least_costs(size):
    for seed in range(20):
        costs = draw(*size, seed=seed)
        found = assign(costs.tolist())
        rows, columns = scipy.optimize.linear_sum_assignment(costs.numpy())
        assert len(set(found)) == size[0]
        assert sum(costs[i, j] for i, j in enumerate(found)) == pytest.approx(float(costs[rows, columns].sum()))


@pytest.mark.parametrize("rank", [1, 3, 9])
def test_low_rank(rank):
    keys = draw(8, 5)
    left, values, right = np.linalg.svd(keys.numpy(), full_matrices=False)
    kept = min(rank, 5)
    expected = (left[:, :kept] * values[:kept]) @ right[:kept]
    torch.testing.assert_close(low_rank(keys, rank), torch.from_numpy(expected))
