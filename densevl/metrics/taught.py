"""Figures of answers for labelled examples, some of which show nothing that the classes are about.

Convention: fractions in [0, 1]; the label of an example of no known class is −1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from densevl.metrics.calibration import (
    Reliability,
    brier_score,
    confidence_correlation,
    negative_log_likelihood,
    overconfident_share,
    reliability,
)
from densevl.metrics.out_of_distribution import auroc, false_positive_rate
from densevl.metrics.table import or_none

__all__ = ["BINS", "TaughtScores"]

BINS = 10
"""Bins of the reliability diagram."""


@dataclass(frozen=True, eq=False)
class TaughtScores:
    """Figures of answers.

    Attributes:
        probabilities: of each class for each example.
        labels: true class of each; −1 where it is none of them.
        names: of the classes.
        doubts: of each example, the higher, the less it looks like anything known.
        weights: of the examples, such as areas; None counts each alike.
    """

    probabilities: Float[np.ndarray, "n k"]
    labels: Int[np.ndarray, " n"]
    names: Sequence[str]
    doubts: Float[np.ndarray, " n"]
    weights: Float[np.ndarray, " n"] | None = None

    @cached_property
    def known(self) -> Bool[np.ndarray, " n"]:
        """True for the examples of a known class; the others count in nothing but what is said of the unknown."""
        return self.labels >= 0

    @cached_property
    def confidences(self) -> Float[np.ndarray, " n"]:
        """Probability of the answer for each example."""
        return self.probabilities.max(1).clip(0, 1)

    @cached_property
    def answers(self) -> Int[np.ndarray, " n"]:
        """The likeliest class of each example."""
        return self.probabilities.argmax(1)

    @cached_property
    def right(self) -> Bool[np.ndarray, " m"]:
        """True where the answer for a known example is its class."""
        return (self.answers == self.labels)[self.known]

    @cached_property
    def _own(self) -> Float[np.ndarray, " m"]:
        return np.ones(len(self.right)) if self.weights is None else self.weights[self.known]

    @property
    def accuracy(self) -> float:
        """Fraction of the known that is right; nan where there is none."""
        return float(np.average(self.right, weights=self._own)) if len(self.right) else float("nan")

    @cached_property
    def confusion(self) -> Float[np.ndarray, "k k"]:
        """Weight of the known by true class (rows) and answer (columns)."""
        matrix = np.zeros((len(self.names), len(self.names)))
        np.add.at(matrix, (self.labels[self.known], self.answers[self.known]), self._own)
        return matrix

    @cached_property
    def reliability(self) -> Reliability:
        """The known, sorted by confidence."""
        return reliability(self.confidences[self.known], self.right, BINS, self._own)

    @property
    def recalls(self) -> Float[np.ndarray, " k"]:
        """Fraction of each class that is right; nan where it has no example."""
        with np.errstate(invalid="ignore"):
            return self.confusion.diagonal() / self.confusion.sum(1)

    @property
    def ious(self) -> Float[np.ndarray, " k"]:
        """Intersection over union of each class; nan where it occurs in neither truth nor answers."""
        right = self.confusion.diagonal()
        with np.errstate(invalid="ignore"):
            return right / (self.confusion.sum(0) + self.confusion.sum(1) - right)

    def classes(self) -> list[dict[str, Any]]:
        """Figures of each class, JSON values only; None where there is nothing to say."""
        with np.errstate(invalid="ignore"):
            precisions = self.confusion.diagonal() / self.confusion.sum(0)
        found = []
        for index, name in enumerate(self.names):
            own = self.labels[self.known] == index
            mistaken = self.confusion[index].copy()
            mistaken[index] = 0
            confidences, right = self.confidences[self.known][own], self.right[own]
            error = reliability(confidences, right, BINS, self._own[own]).expected_error
            found.append(
                {
                    "name": name,
                    "examples": int(own.sum()),
                    "recall": or_none(float(self.recalls[index])),
                    "precision": or_none(float(precisions[index])),
                    "iou": or_none(float(self.ious[index])),
                    "confidence": or_none(float(confidences.mean()) if own.any() else float("nan")),
                    "ece": or_none(error),
                    "taken_for": self.names[int(mistaken.argmax())] if mistaken.any() else None,
                }
            )
        return found

    def unknown(self) -> dict[str, Any] | None:
        """How well doubts tell the unknown; None where the examples are all known or all unknown."""
        if self.known.all() or not self.known.any():
            return None
        known, unknown = self.doubts[self.known], self.doubts[~self.known]
        return {"auroc": auroc(known, unknown), "fpr95": false_positive_rate(known, unknown)}

    def as_dict(self) -> dict[str, Any]:
        """Values for a JSON file; None for nan."""
        known = self.known
        shares, labels, sure = self.probabilities[known].clip(0, 1), self.labels[known], self.confidences[known]
        figures = {
            "accuracy": self.accuracy,
            "mean_accuracy": _mean(self.recalls),
            "mIoU": _mean(self.ious),
            "ece": self.reliability.expected_error,
            "mce": self.reliability.maximum_error,
            "nll": negative_log_likelihood(shares, labels),
            "brier": brier_score(shares, labels),
            "overconfident": overconfident_share(sure, self.right),
            "confidence_correlation": confidence_correlation(sure, self.right),
        }
        bins = zip(*(getattr(self.reliability, name).tolist() for name in _BIN), strict=True)
        return {
            "known": int(known.sum()),
            "unknown": int((~known).sum()),
            **{name: or_none(value) for name, value in figures.items()},
            "reliability": [dict(zip(_BIN, map(or_none, one), strict=True)) for one in bins],
            "confusion": self.confusion.tolist(),
            "classes": self.classes(),
            "out_of_distribution": self.unknown(),
        }


_BIN = ("weights", "confidences", "accuracies")


def _mean(values: Float[np.ndarray, " k"]) -> float:
    found = values[~np.isnan(values)]
    return float(found.mean()) if len(found) else float("nan")
