"""Agreement of two orders of the same things."""

from jaxtyping import Float
from torch import Tensor

__all__ = ["ranks", "spearman"]


def ranks(values: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """The rank of each value from 0 on, the smallest first; equal ones share the mean of theirs.

    Args:
        values: finite numbers.
    """
    _, inverse, counts = values.unique(return_inverse=True, return_counts=True)
    ends = counts.cumsum(0).double()
    return (ends - (counts + 1) / 2)[inverse]


def spearman(first: Float[Tensor, " n"], second: Float[Tensor, " n"]) -> float:
    """Spearman's correlation of ranks, in [-1, 1]; NaN where there are fewer than two values or one side is constant.

    Args:
        first: finite numbers.
        second: finite numbers of the same things.
    """
    if len(first) < 2:
        return float("nan")
    a, b = (ranks(values) - (len(values) - 1) / 2 for values in (first, second))
    return float((a * b).sum() / (a.square().sum() * b.square().sum()).sqrt())
