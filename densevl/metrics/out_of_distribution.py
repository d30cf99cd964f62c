"""Figures of how well a score tells the unknown from the known.

Source: Hendrycks and Gimpel, A Baseline for Detecting Misclassified and Out-of-Distribution Examples, ICLR 2017,
https://arxiv.org/abs/1610.02136. The higher the score, the less known.

Convention: figures are fractions in [0, 1].
"""

import numpy as np
from jaxtyping import Float

__all__ = ["auroc", "false_positive_rate"]


def auroc(known: Float[np.ndarray, " n"], unknown: Float[np.ndarray, " m"]) -> float:
    """Probability that an unknown one scores above a known one, equal scores counting half; nan where one is missing.

    Args:
        known: scores of the known.
        unknown: scores of the unknown.
    """
    if not len(known) or not len(unknown):
        return float("nan")
    ordered = np.sort(known)
    below = np.searchsorted(ordered, unknown, side="left") + np.searchsorted(ordered, unknown, side="right")
    return float(below.sum() / (2 * len(known) * len(unknown)))


def false_positive_rate(
    known: Float[np.ndarray, " n"], unknown: Float[np.ndarray, " m"], recall: float = 0.95
) -> float:
    """Fraction of the unknown that pass for known, at the limit that lets a fraction of the known pass: FPR95.

    The limit is that whose recall of the known is nearest to the one that is asked for. Of several such limits, it is
    the one that lets most pass, but none lets more pass than all of the known need, as in the reference code of COOkeD
    (glhr/COOkeD at commit 217223b). nan where one side is missing.

    Args:
        known: scores of the known.
        unknown: scores of the unknown.
        recall: of the known that is asked for.
    """
    if not len(known) or not len(unknown):
        return float("nan")
    limits = np.unique(np.concatenate([known, unknown[unknown <= known.max()]]))[::-1]
    passing = np.searchsorted(np.sort(known), limits, side="right") / len(known)
    limit = limits[np.abs(passing - recall).argmin()]
    return float((unknown <= limit).mean())
