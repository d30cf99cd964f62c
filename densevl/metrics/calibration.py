"""Figures of how far stated probabilities can be believed.

Sources: Naeini et al., Obtaining Well Calibrated Probabilities Using Bayesian Binning, AAAI 2015 (expected and maximum
calibration error); Guo et al., On Calibration of Modern Neural Networks, ICML 2017, https://arxiv.org/abs/1706.04599
(reliability diagram); Brier, Verification of Forecasts Expressed in Terms of Probability, 1950.

Convention: probabilities and errors are fractions in [0, 1], not percent. A *confidence* is the probability of the
answer that was given. Bins are equally wide and closed at the right: of ten, the first is [0, 0.1], the second
(0.1, 0.2].
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from densevl.core.errors import UsageError

__all__ = [
    "Reliability",
    "brier_score",
    "confidence_correlation",
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


def _check(probabilities: Float[np.ndarray, "..."]) -> None:
    if not ((probabilities >= 0) & (probabilities <= 1 + 1e-6)).all():  # a softmax in float32 may exceed 1 by a little
        raise UsageError("probabilities must be numbers in [0, 1]; got some that are not")
