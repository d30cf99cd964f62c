"""Figures of answers by a property of what was asked about: its size, its place, how much of it is seen.

Source of the idea: Idrissi et al., ImageNet-X: Understanding Model Mistakes with Factor of Variation Annotations, ICLR
2023, https://arxiv.org/abs/2211.01866. Ours: the bins are given, each with its number and a confidence interval, so
that a difference of few examples is not taken for one of the factor.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from densevl.metrics.intervals import Interval, mean_interval, share_interval
from densevl.metrics.table import or_none

__all__ = ["Bin", "bins_of", "places"]


@dataclass(frozen=True)
class Bin:
    """Answers for things with nearly the same property.

    Attributes:
        name: of the bin.
        count: number of its answers.
        interval: mean figure, as a fraction, and its interval of 95 %.
    """

    name: str
    count: int
    interval: Interval

    def as_dict(self) -> dict[str, Any]:
        """Values for a JSON file, figures as fractions."""
        found = {name: or_none(value) for name, value in vars(self.interval).items()}
        return {"name": self.name, "count": self.count, **found}


def bins_of(
    values: Bool[np.ndarray, " n"] | Float[np.ndarray, " n"], bins: Int[np.ndarray, " n"], names: Sequence[str]
) -> list[Bin]:
    """The mean figure of each bin, with its interval; empty bins have the count 0 and no figure.

    Args:
        values: right or wrong, or a fraction such as an IoU, of each answer.
        bins: index of the bin of each answer; −1 where the property is not known, which leaves the answer out.
        names: of the bins.
    """
    found = []
    for index, name in enumerate(names):
        own = values[bins == index]
        shares = own.dtype == bool
        found.append(Bin(name, len(own), share_interval(int(own.sum()), len(own)) if shares else mean_interval(own)))
    return found


def places(numbers: Float[np.ndarray, " n"], edges: Sequence[float]) -> Int[np.ndarray, " n"]:
    """Bin of each number: 0 below the first edge, i from the i-th edge on; −1 for nan."""
    return np.where(np.isnan(numbers), -1, np.searchsorted(edges, numbers, side="right"))
