"""Classes of an image learnt from the image itself: what looks like the sure places of a class belongs to it.

A class map names the middle of things and is coarse; the keys of patches tell what looks alike, and name nothing. So
the probabilities p of the classes teach a linear discriminant analysis of the keys x of the same image, whose answer is
added to them, and so on for some rounds (self-training: Scudder, IEEE Transactions on Information Theory 11, 1965; with
Gaussian classes it is expectation maximisation, Dempster et al., Journal of the Royal Statistical Society B 39, 1977)::

    q_ik ← p_ik                                                              of patch i and class k
    n_k = Σ_i q_ik     μ_k = Σ_i q_ik x_i / n_k     Σ = Σ_ik q_ik (x_i − μ_k)(x_i − μ_k)ᵀ / N
    Σ'  = (1 − s) Σ + s mean(diag Σ) I                                       s: shrinkage
    g_k(x) = μ_kᵀ Σ'⁻¹ x − ½ μ_kᵀ Σ'⁻¹ μ_k
    q_ik ← softmax_k(log p_ik + λ g_k(x_i))                                  λ: weight

No class has a prior of its own in g: a small thing counts as much as the ground behind it. All windows of an image
teach and are taught together. Unlike GrabCut it knows any number of classes, needs no box, and looks at what the
encoder makes of the colours.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures
from densevl.dense.contracts import named
from densevl.encoders.contracts import Needs

__all__ = ["Appearance", "learn_appearance"]

LEAST = 1e-12
"""Probabilities below this count as this, so that appearance has a say where a class was held impossible; a class that
is so at every patch, as one without a query is, stays impossible."""

EPSILON = 1e-6
"""Variance of keys that are all the same, and weight of a class that no patch shows."""


def learn_appearance(
    probabilities: Float[Tensor, "n k h w"],
    keys: Float[Tensor, "n c h w"],
    rounds: int,
    weight: int | float,
    shrinkage: int | float,
) -> Float32[Tensor, "n k h w"]:
    """Probabilities with what the keys of the same image say; see the equations above.

    Args:
        probabilities: of the n windows of one image.
        keys: of the patches, on the same grid.
        rounds: of learning.
        weight: λ.
        shrinkage: s, above 0, up to 1.
    """
    shown = probabilities.float().movedim(1, -1).flatten(0, 2)
    before = shown.clamp(min=LEAST).log().masked_fill(shown.amax(0) == 0, -torch.inf)
    seen = keys.float().movedim(1, -1).flatten(0, 2)
    seen = seen - seen.mean(0)
    second, one = seen.mT @ seen, torch.eye(seen.shape[1]).to(seen)
    shares = before.softmax(1)
    for _ in range(rounds):
        counts = shares.sum(0) + EPSILON
        means = shares.mT @ seen / counts[:, None]
        spread = (second - (means.mT * counts) @ means) / len(seen)
        spread = (1 - shrinkage) * spread + (shrinkage * spread.diagonal().mean().clamp(min=0) + EPSILON) * one
        slopes = torch.linalg.solve(spread, means.mT)
        answer = seen @ slopes - (means.mT * slopes).sum(0) / 2
        shares = (before + weight * answer).softmax(1)
    return shares.unflatten(0, (len(keys), *keys.shape[2:])).movedim(-1, 1)


@dataclass(frozen=True)
class Appearance:
    """Self-training on the keys of an image as a stage of a segmentor; see above.

    Attributes:
        rounds: of learning, 1 or more.
        weight: λ, above 0: how much appearance counts beside the class map.
        shrinkage: s, above 0, up to 1: how far the covariance of the keys is drawn to a multiple of the identity.
    """

    rounds: int = 3
    weight: int | float = 0.5
    shrinkage: int | float = 0.1

    needs = Needs(keys=True)

    def __post_init__(self) -> None:
        if self.rounds < 1 or not self.weight > 0 or not 0 < self.shrinkage <= 1:
            raise UsageError(
                "appearance takes one round or more, a weight above 0 and a shrinkage above 0, up to 1; "
                f"got {self.rounds}, {self.weight} and {self.shrinkage}"
            )

    @property
    def name(self) -> str:
        """Its kind and settings."""
        return named("appearance", self)

    def __call__(self, probabilities: Float[Tensor, "n k h w"], features: DenseFeatures) -> Float[Tensor, "n k h w"]:
        """Add what the patches of an image look like.

        Raises:
            UsageError: where the features have no keys on the grid of the probabilities.
        """
        keys = features.keys
        if keys is None or keys.shape[2:] != probabilities.shape[2:] or len(keys) != len(probabilities):
            came = "none" if keys is None else f"{tuple(keys.shape)}"
            raise UsageError(
                f"appearance needs keys on the grid of the probabilities {tuple(probabilities.shape)}; got {came}; "
                "ask the encoder for keys, or take the refiner `finer` with maps"
            )
        found = learn_appearance(probabilities, keys, self.rounds, self.weight, self.shrinkage)
        return found.to(probabilities.dtype)
