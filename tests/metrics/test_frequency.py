"""Figures over the logarithm of counts, worked out by hand."""

import numpy as np
import pytest

from densevl.core.errors import UsageError
from densevl.metrics.frequency import FrequencyScores, fit_line


def test_a_straight_line_is_found():
    scores = FrequencyScores(np.array([1, 10, 100, 1000]), np.array([5.0, 25.0, 45.0, 65.0]))
    assert (scores.line.slope, scores.line.intercept) == (pytest.approx(20), pytest.approx(5))
    assert (scores.line.pearson, scores.line.points) == (pytest.approx(1), 4)
    assert scores.line_of_decades == scores.line


def test_classes_scatter_where_decades_do_not():
    counts, values = np.array([1, 9, 10, 99, 100, 999]), np.array([0.0, 20.0, 10.0, 30.0, 20.0, 40.0])
    scores = FrequencyScores(counts, values)
    assert [(one.power, one.classes, one.mean) for one in scores.decades] == [(0, 2, 10), (1, 2, 20), (2, 2, 30)]
    assert scores.decades[0].error == pytest.approx(10)  # sqrt(200) / sqrt(2)
    assert (scores.line_of_decades.pearson, scores.line_of_decades.slope) == (pytest.approx(1), pytest.approx(10))
    assert scores.line.pearson == pytest.approx(np.corrcoef(np.log10(counts), values)[0, 1])


def test_counts_just_below_a_power_of_ten_are_in_the_decade_below():
    counts = np.array([999_999_999_999_999, 10**15])
    assert [one.power for one in FrequencyScores(counts, np.array([1.0, 2.0])).decades] == [14, 15]


def test_what_never_occurs_or_was_not_measured_is_left_out():
    scores = FrequencyScores(np.array([0, 0, 0, 1, 10, 100]), np.array([60.0, 20.0, np.nan, 50.0, np.nan, 70.0]))
    assert (scores.never, scores.never_mean, scores.line.points) == (2, 40, 2)
    assert scores.as_dict()["never"] == {"classes": 2, "mean": 40.0}
    assert scores.as_dict()["classes"] == 4


def test_lines_that_are_not_defined_say_so():
    same = fit_line(np.array([1.0, 1.0]), np.array([0.0, 1.0]))
    assert same.as_dict() == {"pearson": None, "slope": None, "intercept": None, "points": 2}
    flat = fit_line(np.array([0.0, 1.0]), np.array([3.0, 3.0]))
    assert flat.slope == pytest.approx(0)
    assert flat.as_dict()["pearson"] is None


@pytest.mark.parametrize(("counts", "said"), [([0, 0], "above 0"), ([-1, 3], "below 0")])
def test_counts_that_give_no_line(counts, said):
    with pytest.raises(UsageError, match=said):
        FrequencyScores(np.array(counts), np.array([1.0, 2.0]))
