"""Means with their confidence intervals of 95 %.

Sources: Wilson, Probable Inference, the Law of Succession, and Statistical Inference, JASA 1927, for shares; the normal
approximation for means of other values.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

__all__ = ["Interval", "mean_interval", "share_interval"]

Z = 1.959963984540054
"""Quantile of the normal distribution that leaves 2.5 % above it."""


@dataclass(frozen=True)
class Interval:
    """A mean and what it may be.

    Attributes:
        mean: nan where there is no value.
        low: lower end; nan where it is not known.
        high: upper end; nan where it is not known.
    """

    mean: float
    low: float
    high: float


def share_interval(hits: int, total: int) -> Interval:
    """A share with Wilson's interval, which stays in [0, 1] and is not empty at 0 or 1."""
    if not total:
        return Interval(float("nan"), float("nan"), float("nan"))
    share, spread = hits / total, Z * Z / total
    centre = (share + spread / 2) / (1 + spread)
    half = Z * math.sqrt(share * (1 - share) / total + spread / (4 * total)) / (1 + spread)
    return Interval(share, max(centre - half, 0.0), min(centre + half, 1.0))


def mean_interval(values: Float[np.ndarray, " n"]) -> Interval:
    """The mean of values with its normal interval; its ends are nan with fewer than two values."""
    if not len(values):
        return Interval(float("nan"), float("nan"), float("nan"))
    mean = float(values.mean())
    half = Z * float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else float("nan")
    return Interval(mean, mean - half, mean + half)
