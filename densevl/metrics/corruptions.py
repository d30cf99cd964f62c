"""Figures of how far a score falls under corruptions of the images.

Sources: Hendrycks and Dietterich, ICLR 2019, https://arxiv.org/abs/1903.12261 (mean and relative corruption error);
Michaelis et al., 2019, https://arxiv.org/abs/1907.07484 (mean and relative performance under corruption).

Where we differ: errors are not divided by those of AlexNet, since there is none for most tasks; the relative error is
what a score loses against clean images, in the same unit.

Convention: scores are fractions in [0, 1], the higher the better. Tables hold a row for each corruption and a column
for each severity, mildest first.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from densevl.core.errors import UsageError

__all__ = ["Robustness", "robustness"]

LEVEL = 1e-9
"""Rise of a score that does not count as one."""


@dataclass(frozen=True, eq=False)
class Robustness:
    """How far a score falls.

    Attributes:
        clean: the score of clean images.
        of_kinds: mean of each corruption over its severities.
        curve: mean of each severity over the corruptions.
        mean: over corruptions and severities: mPC.
        error: mean corruption error, ``1 − mean``: mCE.
        relative_error: ``clean − mean``: relative mCE.
        kept: ``mean / clean``: rPC; nan where clean images score 0.
        monotone: whether the curve, clean images first, never rises.
        falling: fraction of the steps of single corruptions, clean images first, at which the score does not rise.
    """

    clean: float
    of_kinds: Float[np.ndarray, " c"]
    curve: Float[np.ndarray, " s"]
    mean: float
    error: float
    relative_error: float
    kept: float
    monotone: bool
    falling: float


def robustness(clean: float, scores: Float[np.ndarray, "c s"]) -> Robustness:
    """Figures of a table of scores.

    Args:
        clean: the score of clean images.
        scores: of each corruption and severity.

    Raises:
        UsageError: where there is none, or one is not finite.
    """
    if not scores.size or not np.isfinite([clean, *scores.ravel()]).all():
        raise UsageError("scores under corruption must be finite numbers, one at least")
    curve, mean = scores.mean(0), float(scores.mean())
    steps = np.diff(np.column_stack([np.full(len(scores), clean), scores]), axis=1)
    return Robustness(
        clean,
        scores.mean(1),
        curve,
        mean,
        1 - mean,
        clean - mean,
        mean / clean if clean else float("nan"),
        bool((np.diff([clean, *curve]) <= LEVEL).all()),
        float((steps <= LEVEL).mean()),
    )
