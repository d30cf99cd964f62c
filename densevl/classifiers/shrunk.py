"""Gaussian classes of one covariance, shrunk towards a multiple of the identity, from their sums alone.

Source: Friedman, Regularized Discriminant Analysis, JASA 84, 1989, with one covariance for all classes (linear
discriminant analysis). With the means μ_k, the covariance Σ about them, d numbers, and shrinkage s in [0, 1]::

    P   = ((1 − s) Σ + s tr(Σ)/d · I)⁻¹
    W_k = P μ_k       b_k = −½ μ_kᵀ P μ_k

Classes are taken as equally frequent: how often a class stands in the examples says nothing about other images. The
inverse of every shrinkage comes from one decomposition of Σ.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float32
from torch import Tensor

from densevl.classifiers.sums import Sums

__all__ = ["NEVER", "shrunk_weights"]

NEVER = -1e9
"""Bias of a class without an example: its probability is 0."""

LEAST = 1e-6
"""Least mean variance, where all vectors of each class are equal."""


def shrunk_weights(
    sums: Sums, shrinkages: Sequence[float]
) -> list[tuple[Float32[Tensor, "k d"], Float32[Tensor, " k"]]]:
    """Weights and biases of the classes for each shrinkage.

    Args:
        sums: of the examples; a class without any never wins.
        shrinkages: in (0, 1].
    """
    means = sums.means
    covariance = sums.scatter(means) / sums.counts.sum()
    variances, axes = torch.linalg.eigh(covariance)
    variances = variances.clamp(min=0)
    spread = float(variances.mean().clamp(min=LEAST))
    turned = means @ axes
    found = []
    for shrinkage in shrinkages:
        inverse = 1 / ((1 - shrinkage) * variances + shrinkage * spread)
        bias = -(turned.square() * inverse).sum(1) / 2
        bias[sums.counts == 0] = NEVER
        found.append((((turned * inverse) @ axes.mT).float(), bias.float()))
    return found
