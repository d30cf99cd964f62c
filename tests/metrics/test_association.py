"""Attributes that swap owners: shares and bias, worked out by hand."""

import numpy as np
import pytest

from densevl.core.errors import UsageError
from densevl.metrics.association import NONE, OTHER, OWN, REST, AssociationScores

EIGHT = np.array([[OWN, OTHER, *([REST] * 6)]] * 10)
"""Questions with one own option, one of another thing and six of nothing."""


def test_shares_and_bias_of_colours():
    scores = AssociationScores(np.array([0, 0, 0, 0, 0, 1, 1, 1, 2, 7]), EIGHT)
    assert (scores.right, scores.other, scores.neither) == (0.5, 0.3, 0.2)
    assert scores.bias == pytest.approx(0.3 - 0.2 / 6)


def test_no_bias_where_errors_do_not_care_for_the_image():
    evenly = AssociationScores(np.array([0, 0, 0, 1, 2, 3, 4, 5, 6, 7]), EIGHT)
    assert evenly.bias == pytest.approx(0.0)
    assert AssociationScores(np.ones(10, int), EIGHT).bias == 1.0
    assert AssociationScores(np.full(10, 2), EIGHT).bias == pytest.approx(-1 / 6)


def test_the_error_is_that_of_a_mean():
    answers = np.array([0, 0, 0, 0, 0, 1, 1, 1, 2, 7])
    each = np.array([0, 0, 0, 0, 0, 1, 1, 1, -1 / 6, -1 / 6])
    assert AssociationScores(answers, EIGHT).error == pytest.approx(each.std(ddof=1) / np.sqrt(10))


def test_a_share_is_divided_by_the_options_of_its_kind():
    kinds = np.array([[OWN, OTHER, OTHER, REST], [OWN, OTHER, REST, REST], [OWN, REST, REST, NONE]])
    scores = AssociationScores(np.array([2, 2, 1]), kinds)
    assert scores.comparable.tolist() == [True, True, False]
    assert scores.bias == pytest.approx((1 / 2 - 1 / 2) / 2)
    assert scores.neither == pytest.approx(2 / 3)


def test_nothing_to_compare_has_no_bias():
    scores = AssociationScores(np.array([0]), np.array([[OWN, REST]]))
    assert scores.as_dict() == {
        "questions": 1, "comparable": 0, "right": 1.0, "other": 0.0, "neither": 0.0, "bias": None, "bias_error": None,
    }  # fmt: skip


def test_answers_that_were_not_offered():
    with pytest.raises(UsageError, match="does not offer"):
        AssociationScores(np.array([1]), np.array([[OWN, NONE]]))
    with pytest.raises(UsageError, match="no question"):
        AssociationScores(np.zeros(0, int), np.zeros((0, 8), int))
