"""Doubts of examples by what all others show: each image is left out once, exactly and without fitting anew.

The doubt is that of :mod:`densevl.classifiers.unknown`. An image that is left out takes its examples from the means of
their classes, and from the scatter S about these a few outer products: with the weights w of its examples x of class k,
their sum W, their mean x̄, and n_k and μ_k of all examples of the class::

    μ'_k = (n_k μ_k − W x̄) / (n_k − W)
    S' = S − Σ w (x − x̄)(x − x̄)ᵀ − n_k W / (n_k − W) (x̄ − μ_k)(x̄ − μ_k)ᵀ

So one decomposition of S serves all images, by the identity of Woodbury. We differ from fitting anew: what depends
on the number of examples is kept as with all of them, since the doubts are compared with doubts by all. S' grows to as
many degrees of freedom, and the distance from a mean of few examples shrinks to that from a mean of one image more, by
``(1 + 1 / n_k) / (1 + 1 / (n_k − W))``, which is what independent examples are expected to show.
"""

import math

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from densevl.classifiers.sums import Sums

__all__ = ["IMAGES", "left_out_doubts"]

IMAGES = 1000
"""Images that are left out at most, spread evenly; more say nothing new about a limit."""


@torch.inference_mode()
def left_out_doubts(
    sums: Sums,
    vectors: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"],
    images: Int[Tensor, " n"],
    weights: Float[Tensor, " n"] | None = None,
) -> Float64[Tensor, " n"]:
    """The doubt of each vector without its image; infinite where the other images do not show its class.

    Args:
        sums: of all examples, these among them.
        vectors: some of the examples, with all that are of the same images.
        labels: class of each.
        images: which image each is from.
        weights: of each, as they are in the sums; None for 1.
    """
    share = torch.ones(len(vectors), dtype=torch.float64) if weights is None else weights.double().cpu()
    shown = _Shown.of(sums)
    turned, labels, images = vectors.double().cpu() @ shown.axes, labels.cpu(), images.cpu()
    doubts = torch.full((len(vectors),), torch.inf, dtype=torch.float64)
    different = images.unique()
    chosen = torch.linspace(0, len(different) - 1, min(len(different), IMAGES)).long()
    for image in different[chosen].tolist():
        own = (images == image).nonzero().flatten()
        doubts[own] = shown.without(turned[own], labels[own], share[own])
    return doubts


class _Shown:
    """All examples in the axes of their scatter.

    Args:
        counts: sum of the weights of each class.
        means: of each class, in these axes.
        variances: scatter along each axis.
        axes: in their columns.
    """

    def __init__(
        self,
        counts: Float64[Tensor, " k"],
        means: Float64[Tensor, "k d"],
        variances: Float64[Tensor, " d"],
        axes: Float64[Tensor, "d d"],
    ) -> None:
        self.counts, self.means, self.variances, self.axes = counts, means, variances, axes

    @classmethod
    def of(cls, sums: Sums) -> "_Shown":
        variances, axes = torch.linalg.eigh(sums.scatter(sums.means))
        return cls(sums.counts, sums.means @ axes, variances.clamp(min=0), axes)

    def without(
        self, vectors: Float64[Tensor, "n d"], labels: Int[Tensor, " n"], weights: Float64[Tensor, " n"]
    ) -> Float64[Tensor, " n"]:
        """The doubts of the examples of one image by all others."""
        counts, means, taken = self.counts.clone(), self.means.clone(), []
        for label in labels.unique().tolist():
            here = labels == label
            gone = float(weights[here].sum())
            centre = (weights[here, None] * vectors[here]).sum(0) / gone
            before, left = float(self.counts[label]), float(self.counts[label]) - gone
            taken.append(weights[here, None].sqrt() * (vectors[here] - centre))
            if left > 1e-9:
                taken.append(math.sqrt(before * gone / left) * (centre - self.means[label])[None])
                means[label] = (before * self.means[label] - gone * centre) / left
            counts[label] = left if left > 1e-9 else 0.0
        seen = counts > 0
        free, all_free = _freedom(counts), _freedom(self.counts)
        if free <= 0:
            return torch.full((len(vectors),), torch.inf, dtype=torch.float64)
        squared = self._squared(vectors, means, torch.cat(taken), all_free / free)
        nearer = torch.where(seen, (1 + 1 / self.counts) / (1 + 1 / counts), torch.inf)
        doubts = (squared * nearer).where(seen, torch.inf).amin(1) / vectors.shape[1]
        return doubts.clamp(min=0).where(seen[labels], torch.inf)

    def _squared(
        self,
        vectors: Float64[Tensor, "n d"],
        means: Float64[Tensor, "k d"],
        taken: Float64[Tensor, "m d"],
        grown: float,
    ) -> Float64[Tensor, "n k"]:
        """Squared distances of vectors from means by the scatter without some outer products, made as large again."""
        count = max(float(self.counts.sum()) - 1, 1.0)
        spread = float(self.variances.sum() - taken.square().sum()) / count
        offsets = vectors[:, None] - means
        if spread * grown < 1e-9:
            return count * offsets.square().sum(-1)
        inverse = 1 / (self.variances + spread)
        moved = offsets @ (taken * inverse).mT
        inner = torch.eye(len(taken), dtype=taken.dtype) - (taken * inverse) @ taken.mT
        within = (moved * torch.linalg.solve(inner, moved.flatten(0, 1).mT).mT.reshape(moved.shape)).sum(-1)
        return (count / grown) * ((offsets.square() * inverse).sum(-1) + within)


def _freedom(counts: Float64[Tensor, " k"]) -> float:
    """Degrees of freedom of the scatter of so many examples of each class."""
    return float(counts.sum() - (counts > 0).sum())
