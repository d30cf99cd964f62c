"""Detection of the unknown against published figures and scikit-learn."""

import numpy as np
import pytest

from densevl.metrics.out_of_distribution import auroc, false_positive_rate


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
