"""Calibration against published tables, and against sums over the bins by hand."""

import numpy as np
import pytest
import torch

from densevl.core.errors import UsageError
from densevl.metrics.calibration import (
    answer_errors,
    brier_score,
    calibration_figures,
    class_errors,
    confidence_correlation,
    fit_temperature,
    negative_log_likelihood,
    overconfident_share,
    reliability,
)


@pytest.mark.parametrize("who", ["qwen", "gpt", "rag"])
def test_published_answers(shared, who):
    data = np.load(shared / "golden" / "adapters" / "calibration.npz")
    confidences, right = data[f"{who}_confidence"], data[f"{who}_right"]
    assert right.mean() == pytest.approx(float(data[f"{who}_accuracy"]))
    for bins in sorted(int(name.removeprefix(f"{who}_ece")) for name in data if name.startswith(f"{who}_ece")):
        found = reliability(confidences, right, bins)
        assert found.expected_error == pytest.approx(float(data[f"{who}_ece{bins}"]), abs=1e-6)
        assert found.maximum_error == pytest.approx(float(data[f"{who}_mce{bins}"]), abs=1e-6)
    for name in (name for name in data if name.startswith(f"{who}_overconfidence_")):
        share = overconfident_share(confidences, right, int(name.rpartition("_")[2]) / 100)
        assert share == pytest.approx(float(data[name]))
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


def test_errors_are_those_of_torchmetrics():
    functional = pytest.importorskip("torchmetrics.functional.classification")
    rng = np.random.default_rng(2)
    logits, labels = 3 * rng.standard_normal((400, 5)), rng.integers(0, 5, 400)
    found = calibration_figures(logits, labels)
    shares, truth = torch.from_numpy(logits).softmax(1), torch.from_numpy(labels)
    for norm, own in (("l1", found.expected_error), ("max", found.maximum_error)):
        theirs = functional.multiclass_calibration_error(shares, truth, num_classes=5, n_bins=15, norm=norm)
        assert own == pytest.approx(float(theirs), abs=1e-6)
    for label, own in enumerate(found.of_classes):
        theirs = functional.binary_calibration_error(shares[:, label], (truth == label).long(), n_bins=15)
        assert own == pytest.approx(float(theirs), abs=1e-6)
    assert found.nll == pytest.approx(float(torch.nn.functional.cross_entropy(torch.from_numpy(logits), truth)))


def test_the_errors_of_answers_are_those_of_the_parts_that_name_a_class():
    rng = np.random.default_rng(3)
    shares, labels, weights = rng.dirichlet(np.ones(3), 60), rng.integers(0, 3, 60), rng.random(60)
    shares[:, 2] = 0  # nothing is taken for the last class
    shares /= shares.sum(1, keepdims=True)
    found = answer_errors(shares, labels, 5, weights)
    for label in range(2):
        own = shares.argmax(1) == label
        expected = reliability(shares[own].max(1), labels[own] == label, 5, weights[own]).expected_error
        assert found[label] == pytest.approx(expected)
    assert np.isnan(found[2])
    assert class_errors(shares, labels, 5, weights)[2] == pytest.approx(np.average(labels == 2, weights=weights))


def test_the_temperature_is_the_best_of_a_grid_and_counts_weights():
    rng = np.random.default_rng(4)
    truth = rng.standard_normal((2000, 4))
    labels = np.array([rng.choice(4, p=one) for one in torch.from_numpy(truth).softmax(1).numpy()])
    assert fit_temperature(5 * truth, labels) == pytest.approx(5, rel=0.1)
    weights = rng.integers(0, 3, 2000)
    repeated = fit_temperature(np.repeat(5 * truth, weights, 0), np.repeat(labels, weights))
    assert fit_temperature(5 * truth, labels, weights.astype(float)) == pytest.approx(repeated, rel=1e-3)
    grid, scaled = np.exp(np.linspace(-5, 5, 201)), 5 * torch.from_numpy(truth)
    losses = [torch.nn.functional.cross_entropy(scaled / one, torch.from_numpy(labels)) for one in grid]
    assert fit_temperature(5 * truth, labels) == pytest.approx(grid[int(np.argmin(losses))], rel=0.06)


def test_a_class_that_cannot_be_does_not_spoil_the_temperature():
    logits, labels = np.array([[2.0, 0.0, -np.inf], [0.0, 1.0, -np.inf], [3.0, 0.0, -np.inf]]), np.array([0, 1, 2])
    assert np.isfinite(fit_temperature(logits, labels))
    assert fit_temperature(logits[2:], labels[2:]) == 1.0
    with pytest.raises(UsageError, match="there are none"):
        fit_temperature(logits[:0], labels[:0])
