"""Split conformal prediction: sets of classes that hold the true one as often as is asked for.

Sources: Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005; Sadinle, Lei and Wasserman, Least
Ambiguous Set-Valued Classifiers with Bounded Error Levels, JASA 2019, https://arxiv.org/abs/1609.00451 (the score, and
one limit a class). With the scores s = 1 − p[true class] of n held-out examples::

    q = the ⌈coverage · (n + 1)⌉-th smallest of s      the set of x = every class k with 1 − p(x)[k] ≤ q

Of new examples of the same kind, the set holds the true class with at least that probability. A set may hold several
classes, where the answer is in doubt, or none, where nothing known looks like it.
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from densevl.core.errors import UsageError

__all__ = ["class_limits", "conformal_sets", "limit"]


def limit(scores: Float[Tensor, " n"], coverage: int | float) -> float:
    """The score up to which a fraction of new ones of the same kind lies; ∞ where the examples are too few to say.

    Args:
        scores: of held-out examples; the higher, the stranger.
        coverage: the fraction, in (0, 1).

    Raises:
        UsageError: where the coverage is outside (0, 1).
    """
    if not 0 < coverage < 1:
        raise UsageError(f"coverage is a fraction between 0 and 1, such as 0.9; got {coverage:g}")
    rank = math.ceil(coverage * (len(scores) + 1) - 1e-9)  # 0.9 · 10 is 9, not 9 and a rounding error
    return math.inf if rank > len(scores) else float(scores.sort().values[max(rank, 1) - 1])


def class_limits(
    scores: Float[Tensor, " n"], labels: Int[Tensor, " n"], classes: int, coverage: int | float
) -> Float[Tensor, " {classes}"]:
    """The limit of each class by its own held-out examples; ∞ for a class that has too few.

    Args:
        scores: of held-out examples of all classes.
        labels: class of each.
        classes: number of classes.
        coverage: the fraction of each class that its limit shall cover, in (0, 1).
    """
    return torch.tensor([limit(scores[labels == index], coverage) for index in range(classes)])


def conformal_sets(probabilities: Float[Tensor, "n k"], limits: float | Float[Tensor, " k"]) -> Bool[Tensor, "n k"]:
    """The classes of each set.

    Args:
        probabilities: of each class.
        limits: of :func:`limit`, or of each class by :func:`class_limits`.
    """
    return 1 - probabilities <= torch.as_tensor(limits, dtype=probabilities.dtype, device=probabilities.device)
