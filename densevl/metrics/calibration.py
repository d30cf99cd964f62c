"""Figures of how far stated probabilities can be believed.

Sources: Naeini et al., Obtaining Well Calibrated Probabilities Using Bayesian Binning, AAAI 2015 (expected and maximum
calibration error); Guo et al., On Calibration of Modern Neural Networks, ICML 2017, https://arxiv.org/abs/1706.04599
(reliability diagram, temperature scaling); Kull et al., Beyond Temperature Scaling, NeurIPS 2019 (error of each class);
Gupta and Ramdas, Top-label Calibration, ICLR 2022 (error of the answers of a class); Brier, Verification of Forecasts
Expressed in Terms of Probability, 1950.

Convention: probabilities and errors are fractions in [0, 1], not percent. A *confidence* is the probability of the
answer that was given. Bins are equally wide and closed at the right: of ten, the first is [0, 0.1], the second
(0.1, 0.2].
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from densevl.core.errors import UsageError
from densevl.metrics.table import or_none

__all__ = [
    "CalibrationFigures",
    "Reliability",
    "answer_errors",
    "brier_score",
    "calibration_figures",
    "class_errors",
    "confidence_correlation",
    "fit_temperature",
    "negative_log_likelihood",
    "overconfident_share",
    "reliability",
]

BINS = 15
"""Bins of the calibration error in most papers."""

SURE = 0.9
"""Confidence from which on a wrong answer counts as overconfident."""


@dataclass(frozen=True, eq=False)
class Reliability:
    """Answers sorted into bins by their confidence.

    Attributes:
        weights: sum of the weights of the answers of each bin; their number where each counts alike.
        confidences: mean confidence of each bin; nan where it is empty.
        accuracies: fraction of each bin that is right; nan where it is empty.
    """

    weights: Float[np.ndarray, " bins"]
    confidences: Float[np.ndarray, " bins"]
    accuracies: Float[np.ndarray, " bins"]

    @property
    def gaps(self) -> Float[np.ndarray, " bins"]:
        """Distance of accuracy and confidence in each bin; 0 where it is empty."""
        return np.nan_to_num(np.abs(self.accuracies - self.confidences))

    @property
    def expected_error(self) -> float:
        """Mean gap of the answers: ECE; nan where there is none."""
        total = self.weights.sum()
        return float((self.weights * self.gaps).sum() / total) if total else float("nan")

    @property
    def maximum_error(self) -> float:
        """Largest gap of a bin: MCE; nan where there is no answer."""
        return float(self.gaps.max()) if self.weights.sum() else float("nan")


def reliability(
    confidences: Float[np.ndarray, " n"],
    right: Bool[np.ndarray, " n"],
    bins: int = BINS,
    weights: Float[np.ndarray, " n"] | None = None,
) -> Reliability:
    """Sort answers into bins by their confidence.

    Args:
        confidences: in [0, 1].
        right: True where the answer is right.
        bins: number of bins.
        weights: of the answers, such as areas; None counts each alike.

    Raises:
        UsageError: where a confidence is no number in [0, 1], or there is no bin.
    """
    _check(confidences)
    if bins < 1:
        raise UsageError(f"bins: at least one; got {bins}")
    own = np.ones(len(confidences)) if weights is None else weights
    places = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], confidences, side="left")
    values = (np.ones(len(own)), confidences, right)
    sums = [np.bincount(places, value * own, bins).astype(float) for value in values]
    with np.errstate(invalid="ignore"):
        return Reliability(sums[0], sums[1] / sums[0], sums[2] / sums[0])


def overconfident_share(
    confidences: Float[np.ndarray, " n"], right: Bool[np.ndarray, " n"], sure: float = SURE
) -> float:
    """Fraction of all answers that are wrong and have a confidence of ``sure`` or more; nan where there is none."""
    _check(confidences)
    return float((~right & (confidences >= sure)).mean()) if len(right) else float("nan")


def confidence_correlation(confidences: Float[np.ndarray, " n"], right: Bool[np.ndarray, " n"]) -> float:
    """Pearson's correlation of confidence and being right; nan where either is the same for all."""
    _check(confidences)
    if len(right) < 2 or np.ptp(confidences) == 0 or right.all() or not right.any():
        return float("nan")
    return float(np.corrcoef(confidences, right)[0, 1])


def negative_log_likelihood(probabilities: Float[np.ndarray, "n k"], labels: Int[np.ndarray, " n"]) -> float:
    """Mean of −log of the probability of the true class; nan where there is no answer."""
    _check(probabilities)
    true = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(true, np.finfo(np.float64).tiny)).mean()) if len(labels) else float("nan")


def brier_score(probabilities: Float[np.ndarray, "n k"], labels: Int[np.ndarray, " n"]) -> float:
    """Mean squared distance of the probabilities from the truth, over all classes: 0 to 2; nan where there is none."""
    _check(probabilities)
    truth = np.eye(probabilities.shape[1])[labels]
    return float(((probabilities - truth) ** 2).sum(1).mean()) if len(labels) else float("nan")


def answer_errors(
    probabilities: Float[np.ndarray, "n k"],
    labels: Int[np.ndarray, " n"],
    bins: int = BINS,
    weights: Float[np.ndarray, " n"] | None = None,
) -> Float[np.ndarray, " k"]:
    """ECE of the answers that name each class; nan where none does."""
    answers, sure = probabilities.argmax(1), probabilities.max(1).clip(0, 1)
    own = np.ones(len(labels)) if weights is None else weights
    errors = []
    for label in range(probabilities.shape[1]):
        chosen = answers == label
        errors.append(reliability(sure[chosen], labels[chosen] == label, bins, own[chosen]).expected_error)
    return np.array(errors)


def class_errors(
    probabilities: Float[np.ndarray, "n k"],
    labels: Int[np.ndarray, " n"],
    bins: int = BINS,
    weights: Float[np.ndarray, " n"] | None = None,
) -> Float[np.ndarray, " k"]:
    """ECE of the probability of each class, whatever the answer; their mean is the classwise ECE."""
    shares = probabilities.clip(0, 1)
    own = np.ones(len(labels)) if weights is None else weights
    return np.array(
        [reliability(shares[:, label], labels == label, bins, own).expected_error for label in range(shares.shape[1])]
    )


def fit_temperature(
    logits: Float[np.ndarray, "n k"], labels: Int[np.ndarray, " n"], weights: Float[np.ndarray, " n"] | None = None
) -> float:
    """The temperature by which logits are divided so that the likelihood of the true classes is largest.

    It is sought between e⁻⁵ and e⁵.

    Args:
        logits: of each class; a class that cannot be may have −∞.
        labels: true classes.
        weights: of the answers, such as areas; None counts each alike.

    Raises:
        UsageError: where there is no answer.
    """
    from scipy.optimize import minimize_scalar

    if not len(labels):
        raise UsageError("a temperature is fitted to answers, and there are none")
    possible = np.isfinite(logits[np.arange(len(labels)), labels])  # what is impossible stays so at any temperature

    def loss(exponent: float) -> float:
        scaled = logits[possible] / np.exp(exponent)
        top = scaled.max(1, keepdims=True)
        normaliser = top[:, 0] + np.log(np.exp(scaled - top).sum(1))
        losses = normaliser - scaled[np.arange(len(scaled)), labels[possible]]
        return float(np.average(losses, weights=None if weights is None else weights[possible]))

    if not possible.any():
        return 1.0
    return float(np.exp(minimize_scalar(loss, bounds=(-5, 5), method="bounded", options={"xatol": 1e-4}).x))


@dataclass(frozen=True, eq=False)
class CalibrationFigures:
    """Figures of how far probabilities can be believed.

    Attributes:
        accuracy: fraction that is right.
        confidence: mean probability of the answers.
        reliability: answers by confidence.
        of_answers: see :func:`answer_errors`.
        of_classes: see :func:`class_errors`.
        nll: mean of −log of the probability of the true class.
        overconfident: see :func:`overconfident_share`.
        correlation: see :func:`confidence_correlation`.
    """

    accuracy: float
    confidence: float
    reliability: Reliability
    of_answers: Float[np.ndarray, " k"]
    of_classes: Float[np.ndarray, " k"]
    nll: float
    overconfident: float
    correlation: float

    def __str__(self) -> str:
        """The figures of most weight."""
        return f"ECE {self.expected_error:.3f}, MCE {self.maximum_error:.3f}, NLL {self.nll:.3f}"

    @property
    def expected_error(self) -> float:
        """ECE."""
        return self.reliability.expected_error

    @property
    def maximum_error(self) -> float:
        """MCE."""
        return self.reliability.maximum_error

    def as_dict(self, names: Sequence[str]) -> dict[str, Any]:
        """Values for a JSON file; None for nan.

        Args:
            names: of the classes.
        """
        numbers = {
            "accuracy": self.accuracy,
            "confidence": self.confidence,
            "ece": self.expected_error,
            "mce": self.maximum_error,
            "classwise_ece": float(np.nanmean(self.of_classes)),
            "nll": self.nll,
            "overconfident": self.overconfident,
            "confidence_correlation": self.correlation,
        }
        found = self.reliability
        bins = zip(found.weights.tolist(), found.confidences.tolist(), found.accuracies.tolist(), strict=True)
        return {
            **{name: or_none(value) for name, value in numbers.items()},
            "bins": [dict(zip(("weight", "confidence", "accuracy"), map(or_none, one), strict=True)) for one in bins],
            "classes": {
                name: {"ece_of_answers": or_none(float(answered)), "ece_of_probability": or_none(float(stated))}
                for name, answered, stated in zip(names, self.of_answers, self.of_classes, strict=True)
            },
        }


def calibration_figures(
    logits: Float[np.ndarray, "n k"],
    labels: Int[np.ndarray, " n"],
    bins: int = BINS,
    weights: Float[np.ndarray, " n"] | None = None,
) -> CalibrationFigures:
    """All figures of answers.

    Args:
        logits: of each class, whose softmax are the probabilities.
        labels: true classes.
        bins: of confidence.
        weights: of the answers, such as areas; None counts each alike.
    """
    top = logits.max(1, keepdims=True)
    shares = np.exp(logits - top)
    shares /= shares.sum(1, keepdims=True)
    sure, right = shares.max(1).clip(0, 1), shares.argmax(1) == labels
    true = np.maximum(shares[np.arange(len(labels)), labels], np.finfo(np.float64).tiny)
    return CalibrationFigures(
        float(np.average(right, weights=weights)),
        float(np.average(sure, weights=weights)),
        reliability(sure, right, bins, weights),
        answer_errors(shares, labels, bins, weights),
        class_errors(shares, labels, bins, weights),
        float(np.average(-np.log(true), weights=weights)),
        overconfident_share(sure, right),
        confidence_correlation(sure, right),
    )


def _check(probabilities: Float[np.ndarray, "..."]) -> None:
    if not ((probabilities >= 0) & (probabilities <= 1 + 1e-6)).all():  # a softmax in float32 may exceed 1 by a little
        raise UsageError("probabilities must be numbers in [0, 1]; got some that are not")
