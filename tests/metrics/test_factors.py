"""Figures by bins of a property."""

import numpy as np
import pytest

from densevl.metrics.factors import bins_of, places
from densevl.metrics.intervals import mean_interval, share_interval


def test_bins_begin_at_their_edges():
    numbers = np.array([0.0, 0.1, 0.1999, 0.2, 5.0, np.nan])
    assert places(numbers, [0.1, 0.2]).tolist() == [0, 1, 1, 2, 2, -1]


def test_shares_and_means_of_bins():
    bins = np.array([0, 0, 0, 2, -1])
    shares = bins_of(np.array([True, False, True, True, False]), bins, ["few", "some", "many"])
    assert [(one.name, one.count) for one in shares] == [("few", 3), ("some", 0), ("many", 1)]
    assert shares[0].interval == share_interval(2, 3)
    assert shares[1].as_dict()["mean"] is None
    values = np.array([0.2, 0.4, 0.9, 0.5, 0.0])
    assert bins_of(values, bins, ["few", "some", "many"])[0].interval == mean_interval(values[:3])
    assert bins_of(values, bins, ["few", "some", "many"])[2].interval.mean == pytest.approx(0.5)
