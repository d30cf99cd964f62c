"""Correlation of ranks against SciPy."""

import math

import torch
from scipy.stats import rankdata, spearmanr

from densevl.metrics.ranks import ranks, spearman


def test_ranks_and_correlation_agree_with_scipy():
    torch.manual_seed(0)
    first, second = torch.randint(0, 6, (40,)).float(), torch.randn(40)
    torch.testing.assert_close(ranks(first), torch.from_numpy(rankdata(first.numpy()) - 1))
    assert math.isclose(spearman(first, second), spearmanr(first, second)[0], abs_tol=1e-12)
    assert math.isclose(spearman(second, second.exp()), 1)


def test_what_has_no_order_has_no_correlation():
    assert math.isnan(spearman(torch.ones(3), torch.arange(3.0)))
    assert math.isnan(spearman(torch.ones(1), torch.ones(1)))
