"""Figures of how well a score tells the unknown from the known.

Sources: Hendrycks and Gimpel, A Baseline for Detecting Misclassified and Out-of-Distribution Examples, ICLR 2017,
https://arxiv.org/abs/1610.02136 (AUROC, AUPR, the largest probability as a score); Liu et al., Energy-based
Out-of-distribution Detection, NeurIPS 2020, https://arxiv.org/abs/2010.03759 (energy). The higher the score, the less
known.

Convention: figures are fractions in [0, 1]. Weights, such as areas, count each known or unknown one that many times.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

__all__ = ["aupr", "auroc", "detection", "doubts_of", "false_positive_rate", "shares_caught"]

Weights = Float[np.ndarray, " _"] | None


def doubts_of(logits: Float[np.ndarray, "n k"]) -> dict[str, Float[np.ndarray, " n"]]:
    """Scores of logits, by name: 1 − the largest probability, the entropy, and the energy −log Σ exp(logit)."""
    top = logits.max(1, keepdims=True)
    exponents = np.exp(logits - top)
    total = exponents.sum(1, keepdims=True)
    shares = exponents / total
    logs = np.log(np.maximum(shares, np.finfo(np.float64).tiny))
    return {
        "max probability": 1 - shares.max(1),
        "entropy": -(shares * logs).sum(1),
        "energy": -(top + np.log(total))[:, 0],
    }


def detection(
    known: Float[np.ndarray, " n"],
    unknown: Float[np.ndarray, " m"],
    known_weights: Weights = None,
    unknown_weights: Weights = None,
) -> Mapping[str, float]:
    """AUROC, AUPR with the unknown as what is sought, and FPR95.

    Args:
        known: scores of the known.
        unknown: scores of the unknown.
        known_weights: of the known; None counts each alike.
        unknown_weights: of the unknown.
    """
    given = known, unknown, known_weights, unknown_weights
    return {
        "auroc": auroc(*given),
        "aupr": aupr(*given),
        "fpr95": false_positive_rate(known, unknown, 0.95, known_weights, unknown_weights),
    }


def auroc(
    known: Float[np.ndarray, " n"],
    unknown: Float[np.ndarray, " m"],
    known_weights: Weights = None,
    unknown_weights: Weights = None,
) -> float:
    """Probability that an unknown one scores above a known one, equal scores counting half; nan where one is missing.

    Args:
        known: scores of the known.
        unknown: scores of the unknown.
        known_weights: of the known; None counts each alike.
        unknown_weights: of the unknown.
    """
    if not len(known) or not len(unknown):
        return float("nan")
    ordered, below = _cumulated(known, known_weights)
    own = _ones(unknown, unknown_weights)
    sums = (
        below[np.searchsorted(ordered, unknown, side="left")] + below[np.searchsorted(ordered, unknown, side="right")]
    )
    return float((own * sums).sum() / (2 * below[-1] * own.sum()))


def aupr(
    known: Float[np.ndarray, " n"],
    unknown: Float[np.ndarray, " m"],
    known_weights: Weights = None,
    unknown_weights: Weights = None,
) -> float:
    """Average precision of finding the unknown; chance is their share. nan where one side is missing.

    Args:
        known: scores of the known.
        unknown: scores of the unknown.
        known_weights: of the known; None counts each alike.
        unknown_weights: of the unknown.
    """
    if not len(known) or not len(unknown):
        return float("nan")
    from sklearn.metrics import average_precision_score

    truth = np.repeat([False, True], [len(known), len(unknown)])
    weights = np.concatenate([_ones(known, known_weights), _ones(unknown, unknown_weights)])
    return float(average_precision_score(truth, np.concatenate([known, unknown]), sample_weight=weights))


def false_positive_rate(
    known: Float[np.ndarray, " n"],
    unknown: Float[np.ndarray, " m"],
    recall: float = 0.95,
    known_weights: Weights = None,
    unknown_weights: Weights = None,
) -> float:
    """Fraction of the unknown that pass for known, at the limit that lets a fraction of the known pass: FPR95.

    The limit is that whose recall of the known is nearest to the one that is asked for. Of several such limits, it is
    the one that lets most pass, but none lets more pass than all of the known need, as in the reference code of COOkeD
    (glhr/COOkeD at commit 217223b). nan where one side is missing.

    Args:
        known: scores of the known.
        unknown: scores of the unknown.
        recall: of the known that is asked for.
        known_weights: of the known; None counts each alike.
        unknown_weights: of the unknown.
    """
    if not len(known) or not len(unknown):
        return float("nan")
    limits = np.unique(np.concatenate([known, unknown[unknown <= known.max()]]))[::-1]
    ordered, below = _cumulated(known, known_weights)
    passing = below[np.searchsorted(ordered, limits, side="right")] / below[-1]
    limit = limits[np.abs(passing - recall).argmin()]
    return float(np.average(unknown <= limit, weights=_ones(unknown, unknown_weights)))


def shares_caught(
    known: Float[np.ndarray, " n"],
    unknown: Float[np.ndarray, " m"],
    alarms: Float[np.ndarray, " a"],
    known_weights: Weights = None,
    unknown_weights: Weights = None,
) -> Float[np.ndarray, " a"]:
    """Fraction of the unknown above the limit that each fraction of the known lies above, at most: the ROC curve.

    Args:
        known: scores of the known, one or more.
        unknown: scores of the unknown, one or more.
        alarms: fractions of the known.
        known_weights: of the known; None counts each alike.
        unknown_weights: of the unknown.
    """
    ordered, below = _cumulated(known, known_weights)
    above = 1 - below[1:] / below[-1]  # of the known that lie above each of them
    own, caught = _ones(unknown, unknown_weights), []
    for alarm in alarms:
        fitting = ordered[above <= alarm + 1e-12]
        passed = unknown > fitting[0] if alarm < 1 else np.ones(len(unknown), bool)
        caught.append(float(np.average(passed, weights=own)))
    return np.array(caught)


def _cumulated(
    values: Float[np.ndarray, " n"], weights: Weights
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n+1"]]:
    """Values in order, and the weight of the first 0, 1, … n of them."""
    order = np.argsort(values, kind="stable")
    return values[order], np.concatenate([[0.0], np.cumsum(_ones(values, weights)[order])])


def _ones(values: Float[np.ndarray, " n"], weights: Weights) -> Float[np.ndarray, " n"]:
    return np.ones(len(values)) if weights is None else weights
