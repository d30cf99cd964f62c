"""Intervals beside those of SciPy."""

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from densevl.metrics.intervals import mean_interval, share_interval


@pytest.mark.parametrize(("hits", "total"), [(0, 7), (3, 10), (10, 10), (499, 1000)])
def test_shares(hits, total):
    found, expected = share_interval(hits, total), binomtest(hits, total).proportion_ci(method="wilson")
    assert (found.mean, found.low, found.high) == pytest.approx((hits / total, expected.low, expected.high))


def test_means():
    values = np.array([0.2, 0.4, 0.9])
    low, high = norm.interval(0.95, values.mean(), values.std(ddof=1) / np.sqrt(3))
    found = mean_interval(values)
    assert (found.mean, found.low, found.high) == pytest.approx((0.5, low, high))


def test_too_few_values():
    one = mean_interval(np.ones(1))
    assert np.isnan([share_interval(0, 0).mean, mean_interval(np.zeros(0)).mean, one.low]).all()
    assert one.mean == 1
