"""Detection of the unknown against published figures and scikit-learn."""

import numpy as np
import pytest

from densevl.metrics.out_of_distribution import (
    aupr,
    auroc,
    detection,
    doubts_of,
    false_positive_rate,
    shares_caught,
)


def test_published_figures(shared):
    data = np.load(shared / "golden" / "adapters" / "cooked.npz")
    scores = [name.removeprefix("auroc/") for name in data if name.startswith("auroc/")]
    assert scores
    for name in scores:
        known, unknown = data[f"id/{name}"], data[f"ood/{name}"]
        sign = -1 if name.startswith("msp") else 1  # a confidence falls where an entropy rises
        assert auroc(sign * known, sign * unknown) == pytest.approx(float(data[f"auroc/{name}"]), abs=1e-6)
        found = false_positive_rate(sign * known, sign * unknown)
        assert found == pytest.approx(float(data[f"fpr95/{name}"]), abs=1e-6)


@pytest.mark.parametrize("levels", [5, 10**6])
def test_area_as_scikit_learn_has_it_with_ties_and_without(levels):
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    known, unknown = rng.integers(0, levels, 200) / levels, rng.integers(0, levels, 80) / levels + 0.1
    truth = np.repeat([0, 1], [len(known), len(unknown)])
    assert auroc(known, unknown) == pytest.approx(metrics.roc_auc_score(truth, np.concatenate([known, unknown])))


def test_false_positives_by_hand():
    known, unknown = np.arange(0.0, 100), np.arange(90.0, 190)  # 95 of the known are below 94.5
    assert false_positive_rate(known, unknown) == 0.05
    assert false_positive_rate(known, unknown, recall=1.0) == 0.1
    assert false_positive_rate(np.zeros(3), np.ones(3)) == 0.0
    assert false_positive_rate(np.ones(3), np.zeros(3)) == 1.0
    assert false_positive_rate(np.arange(3.0), np.full(3, 1.5), recall=0.3) == 0.0


def test_one_side_missing():
    assert np.isnan(auroc(np.zeros(0), np.ones(2)))
    assert np.isnan(false_positive_rate(np.zeros(2), np.zeros(0)))
    assert np.isnan(aupr(np.zeros(0), np.ones(2)))


def test_precision_as_scikit_learn_has_it():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(1)
    known, unknown = rng.random(90), rng.random(30) + 0.2
    truth = np.repeat([0, 1], [len(known), len(unknown)])
    assert aupr(known, unknown) == pytest.approx(
        metrics.average_precision_score(truth, np.concatenate([known, unknown]))
    )


def test_weights_are_repetitions():
    rng = np.random.default_rng(2)
    known, unknown = rng.integers(0, 30, 60) / 30, rng.integers(5, 40, 40) / 30
    weights = rng.integers(1, 5, 60), rng.integers(1, 5, 40)
    weighted = detection(known, unknown, *(one.astype(float) for one in weights))
    repeated = detection(np.repeat(known, weights[0]), np.repeat(unknown, weights[1]))
    assert weighted == pytest.approx(repeated)


def test_the_curve_by_hand_and_by_its_area():
    known, unknown = np.arange(10.0), np.array([4.5, 20.0])
    assert shares_caught(known, unknown, np.array([0.0, 0.4, 0.5, 1.0])).tolist() == [0.5, 0.5, 1.0, 1.0]
    rng = np.random.default_rng(3)
    known, unknown, alarms = rng.random(500), rng.random(400) + 0.3, np.linspace(0, 1, 2001)
    assert np.trapezoid(shares_caught(known, unknown, alarms), alarms) == pytest.approx(auroc(known, unknown), abs=2e-3)


def test_doubts_of_logits():
    logits = np.array([[0.0, 0.0, 0.0, 0.0], [800.0, 0.0, 0.0, 0.0]])
    found = doubts_of(logits)
    assert found["max probability"] == pytest.approx([0.75, 0.0])
    assert found["entropy"] == pytest.approx([np.log(4), 0.0])
    assert found["energy"] == pytest.approx([-np.log(4), -800.0])
    assert all((values[0] > values[1]) for values in found.values())
