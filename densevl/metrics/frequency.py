"""Figures of how well a class is known against how often its concept occurs in the texts of a training.

Source: Udandarao et al., No "Zero-Shot" Without Exponential Data: Pretraining Concept Frequency Determines Multimodal
Model Performance, NeurIPS 2024, https://arxiv.org/abs/2404.04125; reference
bethgelab/frequency_determines_performance@11ef009. A straight line is fitted to a figure over log10 of the count, class
by class, and another to the mean figures of bins. The two answer different questions, so both are given: single classes
scatter, and bins hide it.

Ours: a bin is a decade, 10^d <= count < 10^(d+1), and no bin is left out; the reference leaves out the first and the
last. Classes that occur nowhere have no logarithm. They are left out of both lines and summed up beside them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from densevl.core.errors import UsageError
from densevl.metrics.table import or_none

__all__ = ["Decade", "FrequencyScores", "Line", "fit_line"]


@dataclass(frozen=True)
class Line:
    """A straight line through points, by least squares.

    Attributes:
        pearson: correlation of x and y; nan where there are fewer than two points, or x or y is always the same.
        slope: rise of y where x rises by 1; nan where x is always the same.
        intercept: y where x is 0; nan where x is always the same.
        points: number of points.
    """

    pearson: float
    slope: float
    intercept: float
    points: int

    def as_dict(self) -> dict[str, Any]:
        """Values for a JSON file."""
        return {name: or_none(value) for name, value in vars(self).items()}


def fit_line(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> Line:
    """The line of least squares through points."""
    nothing = float("nan")
    if len(x) < 2 or np.ptp(x) == 0:
        return Line(nothing, nothing, nothing, len(x))
    slope, intercept = np.polyfit(x, y, 1)
    pearson = float(np.corrcoef(x, y)[0, 1]) if np.ptp(y) else nothing
    return Line(pearson, float(slope), float(intercept), len(x))


@dataclass(frozen=True)
class Decade:
    """Classes whose counts have the same number of digits.

    Attributes:
        power: d, of the counts from 10^d to below 10^(d+1).
        classes: number of classes.
        mean: of their figures.
        error: standard error of the mean; nan for one class.
    """

    power: int
    classes: int
    mean: float
    error: float

    def as_dict(self) -> dict[str, Any]:
        """Values for a JSON file."""
        return {name: or_none(value) for name, value in vars(self).items()}


@dataclass(frozen=True, eq=False)
class FrequencyScores:
    """Counts of concepts beside figures of the classes that they name.

    Attributes:
        counts: how often each concept occurs.
        values: figure of each class, in percent; nan for a class that was not measured, which is left out.

    Raises:
        UsageError: where a count is negative, or no class that was measured has a count above 0.
    """

    counts: Int[np.ndarray, " n"]
    values: Float[np.ndarray, " n"]

    def __post_init__(self) -> None:
        if (self.counts < 0).any():
            raise UsageError("frequency: a count is below 0")
        if not self.used.any():
            raise UsageError("frequency: no class that was measured has a count above 0: there is no line to fit")

    @cached_property
    def measured(self) -> Bool[np.ndarray, " n"]:
        """True for the classes that have a figure."""
        return ~np.isnan(self.values)

    @cached_property
    def used(self) -> Bool[np.ndarray, " n"]:
        """True for the classes of the lines: measured, with a count above 0."""
        return self.measured & (self.counts > 0)

    @property
    def never(self) -> int:
        """Number of measured classes whose concept never occurs."""
        return int((self.measured & (self.counts == 0)).sum())

    @property
    def never_mean(self) -> float:
        """Mean figure of the classes whose concept never occurs; nan where there is none."""
        return float(self.values[self.measured & (self.counts == 0)].mean()) if self.never else float("nan")

    @cached_property
    def line(self) -> Line:
        """The line through the classes, over log10 of their count."""
        return fit_line(np.log10(self.counts[self.used]), self.values[self.used])

    @cached_property
    def decades(self) -> Sequence[Decade]:
        """The classes by the power of ten of their count, the rarest first; empty decades are left out."""
        values = self.values[self.used]
        powers = np.array([len(str(count)) - 1 for count in self.counts[self.used].tolist()])  # exact, unlike log10
        found = []
        for power in np.unique(powers).tolist():
            own = values[powers == power]
            error = float(own.std(ddof=1) / np.sqrt(len(own))) if len(own) > 1 else float("nan")
            found.append(Decade(power, len(own), float(own.mean()), error))
        return tuple(found)

    @cached_property
    def line_of_decades(self) -> Line:
        """The line through the means of the decades, over their power of ten."""
        powers, means = ([getattr(one, name) for one in self.decades] for name in ("power", "mean"))
        return fit_line(np.array(powers, float), np.array(means))

    def as_dict(self) -> dict[str, Any]:
        """Values for a JSON file, figures in percent."""
        return {
            "classes": int(self.measured.sum()),
            "per_class": self.line.as_dict(),
            "per_decade": self.line_of_decades.as_dict(),
            "decades": [one.as_dict() for one in self.decades],
            "never": {"classes": self.never, "mean": or_none(self.never_mean)},
        }
