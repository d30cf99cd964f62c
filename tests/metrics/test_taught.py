"""Figures of labelled examples by hand, and with examples of no class."""

import json

import numpy as np
import pytest

from densevl.metrics.taught import TaughtScores

NAMES = ("bolt", "nut", "gear")
PROBABILITIES = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1], [0.4, 0.35, 0.25]])
LABELS = np.array([0, 1, 1, -1])
DOUBTS = 1 - PROBABILITIES.max(1)


def test_figures_by_hand():
    scores = TaughtScores(PROBABILITIES, LABELS, NAMES, DOUBTS)
    assert scores.accuracy == pytest.approx(2 / 3)
    assert scores.confusion.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 0]]
    found = scores.as_dict()
    assert (found["known"], found["unknown"]) == (3, 1)
    assert found["mean_accuracy"] == pytest.approx(0.75)
    assert found["mIoU"] == pytest.approx(0.5)
    assert found["out_of_distribution"] == {"auroc": 1.0, "fpr95": 0.0}
    bolt, nut, gear = found["classes"]
    assert (nut["recall"], nut["precision"], nut["taken_for"]) == (0.5, 1.0, "bolt")
    assert bolt["precision"] == 0.5
    assert gear["recall"] is None
    assert gear["taken_for"] is None
    json.dumps(found, allow_nan=False)


def test_weights_are_repetitions():
    weights = np.array([1.0, 3.0, 2.0, 5.0])
    rows = np.repeat(np.arange(4), weights.astype(int))
    weighted = TaughtScores(PROBABILITIES, LABELS, NAMES, DOUBTS, weights)
    repeated = TaughtScores(PROBABILITIES[rows], LABELS[rows], NAMES, DOUBTS[rows])
    assert weighted.accuracy == pytest.approx(repeated.accuracy)
    assert weighted.confusion.tolist() == repeated.confusion.tolist()
    assert weighted.reliability.expected_error == pytest.approx(repeated.reliability.expected_error)


def test_nothing_known():
    found = TaughtScores(PROBABILITIES, np.full(4, -1), NAMES, DOUBTS).as_dict()
    assert found["accuracy"] is None
    assert found["out_of_distribution"] is None
    json.dumps(found, allow_nan=False)
