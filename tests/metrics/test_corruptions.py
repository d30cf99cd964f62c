"""Robustness of a score, worked out by hand."""

import numpy as np
import pytest

from densevl.core.errors import UsageError
from densevl.metrics.corruptions import robustness


def test_figures_by_hand():
    found = robustness(0.8, np.array([[0.6, 0.4], [0.8, 0.2]]))
    assert found.of_kinds == pytest.approx([0.5, 0.5])
    assert found.curve == pytest.approx([0.7, 0.3])
    assert (found.mean, found.error, found.relative_error) == pytest.approx((0.5, 0.5, 0.3))
    assert found.kept == pytest.approx(0.625)
    assert found.monotone
    assert found.falling == 1.0


def test_a_rise_is_seen():
    found = robustness(0.5, np.array([[0.6, 0.4], [0.2, 0.3]]))
    assert found.monotone  # 0.5, 0.4, 0.35: the rises cancel on average
    assert found.falling == 0.5
    assert not robustness(0.5, np.array([[0.6, 0.4], [0.5, 0.3]])).monotone


def test_nothing_right_keeps_nothing_that_can_be_told():
    assert np.isnan(robustness(0.0, np.zeros((1, 1))).kept)
    for scores in (np.zeros((0, 5)), np.array([[np.nan]])):
        with pytest.raises(UsageError, match="finite numbers, one at least"):
            robustness(0.5, scores)
