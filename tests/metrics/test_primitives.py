"""Figures of probes, worked out by hand."""

import numpy as np
import pytest

from densevl.metrics.primitives import figures_of_any, figures_of_one


def test_any_of_several():
    truth = np.array([[True, False, False], [False, True, False], [True, False, False], [False, False, False]])
    logits = np.array([[2.0, -1, -1], [1, -2, -1], [0.5, -3, -1], [-1, -4, -1]])
    found = figures_of_any(logits, truth)
    assert found.score == pytest.approx(np.mean([(1 + 2 / 3) / 2, 1 / 2]))  # the third class never occurs
    assert found.further["F1"] == pytest.approx(2 * 2 / (3 + 3))
    assert found.as_dict()["answers"] == 12
    nothing = figures_of_any(-np.ones((2, 1)), np.zeros((2, 1), bool))
    assert (nothing.score, nothing.further["F1"]) == (0.0, None)


def test_one_among_several():
    found = figures_of_one(np.array([0, 3, 2, 5]), np.array([0, 1, 2, 4]))
    assert found.as_dict() == {"accuracy": 0.5, "mean distance": 0.75, "answers": 4}
