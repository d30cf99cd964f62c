"""Calibration against published tables, and against sums over the bins by hand."""

import numpy as np
import pytest

from densevl.core.errors import UsageError
from densevl.metrics.calibration import (
    brier_score,
    confidence_correlation,
    negative_log_likelihood,
    overconfident_share,
    reliability,
)


@pytest.mark.parametrize("who", ["qwen", "gpt", "rag"])
def test_published_answers(shared, who):
    data = np.load(shared / "golden" / "adapters" / "calibration.npz")
    confidences, right = data[f"{who}_confidence"], data[f"{who}_right"]
    assert right.mean() == pytest.approx(float(data[f"{who}_accuracy"]))
    for bins in (10, 15):
        found = reliability(confidences, right, bins)
        assert found.expected_error == pytest.approx(float(data[f"{who}_ece{bins}"]), abs=1e-6)
        assert found.maximum_error == pytest.approx(float(data[f"{who}_mce{bins}"]), abs=1e-6)
    for sure in (0.8, 0.9):
        share = overconfident_share(confidences, right, sure)
        assert share == pytest.approx(float(data[f"{who}_overconfidence_{100 * sure:03.0f}"]))
    assert confidence_correlation(confidences, right) == pytest.approx(float(data[f"{who}_ccc"]))


def test_bins_are_closed_at_the_right():
    found = reliability(np.array([0.0, 0.1, 0.1001, 0.2, 1.0]), np.array([True, False, True, True, True]), 10)
    assert found.weights.tolist() == [2, 2, 0, 0, 0, 0, 0, 0, 0, 1]
    assert found.accuracies[:2].tolist() == [0.5, 1.0]
    assert found.confidences[0] == pytest.approx(0.05)
    assert np.isnan(found.accuracies[2])


def test_weights_are_repetitions():
    rng = np.random.default_rng(0)
    confidences, right, times = rng.random(50), rng.random(50) < 0.5, rng.integers(0, 4, 50)
    repeated = reliability(np.repeat(confidences, times), np.repeat(right, times))
    weighted = reliability(confidences, right, weights=times.astype(float))
    assert weighted.expected_error == pytest.approx(repeated.expected_error)
    assert weighted.maximum_error == pytest.approx(repeated.maximum_error)


def test_likelihood_and_brier_score_as_scikit_learn_has_them():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(1)
    probabilities, labels = rng.dirichlet(np.ones(4), 30), rng.integers(0, 4, 30)
    assert negative_log_likelihood(probabilities, labels) == pytest.approx(
        metrics.log_loss(labels, probabilities, labels=range(4))
    )
    ours = brier_score(probabilities, labels)
    theirs = sum(metrics.brier_score_loss(labels == k, probabilities[:, k]) for k in range(4))
    assert ours == pytest.approx(theirs)


def test_no_answer_and_no_spread_give_nan():
    none, nothing = np.zeros(0), np.zeros(0, bool)
    assert np.isnan(reliability(none, nothing).expected_error)
    assert np.isnan(reliability(none, nothing).maximum_error)
    assert np.isnan(overconfident_share(none, nothing))
    assert np.isnan(confidence_correlation(np.array([0.5, 0.5]), np.array([True, False])))
    assert np.isnan(confidence_correlation(np.array([0.4, 0.5]), np.array([True, True])))
    assert np.isnan(negative_log_likelihood(np.zeros((0, 3)), np.zeros(0, int)))


@pytest.mark.parametrize("bad", [-0.1, 1.1, float("nan")])
def test_confidences_that_are_none(bad):
    with pytest.raises(UsageError, match=r"numbers in \[0, 1\]"):
        reliability(np.array([0.5, bad]), np.array([True, True]))


def test_no_bin():
    with pytest.raises(UsageError, match="bins: at least one; got 0"):
        reliability(np.array([0.5]), np.array([True]), 0)
