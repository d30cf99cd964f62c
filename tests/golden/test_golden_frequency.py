"""Accuracy against the frequency of concepts, beside the released counts and accuracies of the reference."""

import numpy as np
import pytest

from densevl.metrics.frequency import FrequencyScores


@pytest.fixture(scope="module")
def file(golden):
    return np.load(golden / "adapters/frequency.npz")


@pytest.fixture(scope="module")
def scores(file):
    return FrequencyScores(file["counts"].astype(np.int64), file["accuracy"].astype(np.float64))


def test_the_line_of_the_classes(file, scores):
    assert scores.line.pearson == pytest.approx(float(file["pearson"]), rel=1e-4)
    assert scores.line.slope == pytest.approx(float(file["slope"]), rel=1e-4)
    assert scores.line.intercept == pytest.approx(float(file["intercept"]), rel=1e-4)


def test_the_decades(file, scores):
    found = [(one.power, one.classes, one.mean) for one in scores.decades]
    np.testing.assert_allclose(found, file["decades"], rtol=1e-4)
    assert scores.line_of_decades.pearson == pytest.approx(float(file["pearson_of_decades"]), rel=1e-4)


def test_what_never_occurs_is_left_out_and_said(file, scores):
    never = file["counts"] == 0
    assert (scores.never, scores.line.points) == (never.sum(), (~never).sum())
    if never.any():
        assert scores.never_mean == pytest.approx(file["accuracy"][never].mean())
