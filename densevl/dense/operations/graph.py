"""Graphs of tokens or pixels, and scores that flow along their edges until they agree with their neighbours.

With W the symmetric weights of the edges (none from a node to itself), D the diagonal of their sums and Z the scores
that nodes begin with, label propagation (Zhou et al., Learning with Local and Global Consistency, NeurIPS 2003)
solves, for each column by itself::

    Ŵ = D^−½ W D^−½            (I − α Ŵ) F = Z            0 ≤ α < 1

by conjugate gradients (Hestenes and Stiefel, 1952), all columns at once. A node without an edge keeps its scores.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from densevl.core.errors import UsageError

__all__ = ["NearestGraph", "conjugate_gradients", "nearest_graph", "propagate"]

COSINES_AT_ONCE = 2**24
"""Entries of the node-by-node matrix that are held together: 64 MiB in float32."""


def conjugate_gradients(
    multiply: Callable[[Tensor], Tensor],
    target: Float[Tensor, "*n"],
    steps: int,
    tolerance: int | float = 0.0,
    along: int | tuple[int, ...] = 0,
) -> Float[Tensor, "*n"]:
    """Solve ``multiply(x) = target`` from x = 0 on, for several systems of one symmetric, positive definite matrix.

    Args:
        multiply: a product with the matrix, of all systems at once.
        target: right-hand sides.
        steps: at most so many. A system that has come to its end stays as it is.
        tolerance: a system has come to its end where the length of its residual is this part of its target's, or less.
        along: axes of the unknowns; the others tell systems apart.
    """
    x, residual = torch.zeros_like(target), target
    direction = residual
    length = target.square().sum(along, keepdim=True)
    least = max(tolerance, torch.finfo(target.dtype).eps)  # below it the residual is not that of x any more
    enough = length * least**2
    for _ in range(steps):
        going = length > enough
        image = multiply(direction)
        bend = (direction * image).sum(along, keepdim=True)
        step = torch.where(going & (bend > 0), length / bend, 0)
        x, residual = x + step * direction, residual - step * image
        after = residual.square().sum(along, keepdim=True)
        direction = residual + torch.where(going, after / length, 0) * direction
        length = after
    return x


def propagate(
    neighbours: Callable[[Tensor], Tensor],
    degrees: Float[Tensor, "*m"],
    seeds: Float[Tensor, "*n"],
    alpha: int | float,
    steps: int,
    tolerance: int | float = 0.0,
    along: int | tuple[int, ...] = 0,
) -> Float[Tensor, "*n"]:
    """Scores F of the nodes of a graph; see above.

    Args:
        neighbours: from scores of the nodes to the sums of those of their neighbours, weighted: the product W x.
        degrees: sums of the weights of each node, in a shape that spreads over ``seeds``.
        seeds: Z.
        alpha: α.
        steps: of conjugate gradients.
        tolerance: as in :func:`conjugate_gradients`.
        along: axes of the nodes.
    """
    scale = torch.where(degrees > 0, degrees.clamp(min=torch.finfo(degrees.dtype).tiny).rsqrt(), 0)
    return conjugate_gradients(
        lambda x: x - alpha * scale * neighbours(scale * x), seeds, steps, tolerance, along=along
    )


@dataclass(frozen=True, eq=False)
class NearestGraph:
    """A graph of nodes that are joined with the nearest, in both directions, as lists of edges.

    Attributes:
        nearest: the nodes that each node is joined with.
        weights: of these edges, 0 for none.
        back: the nodes that are joined with a node, one node after another.
        back_weights: of these edges.
        starts: where the edges of a node begin in ``back``.
    """

    nearest: Int64[Tensor, "n k"]
    weights: Float32[Tensor, "n k"]
    back: Int64[Tensor, " e"]
    back_weights: Float32[Tensor, " e"]
    starts: Int64[Tensor, " n"]

    @classmethod
    def of(cls, nearest: Int64[Tensor, "n k"], weights: Float32[Tensor, "n k"]) -> "NearestGraph":
        """The graph of directed edges: its matrix is the sum of theirs and the transpose."""
        count, each = nearest.shape
        ends = nearest.flatten()
        order = ends.argsort(stable=True)
        starts = torch.bincount(ends, minlength=count).cumsum(0)
        return cls(nearest, weights, order // each, weights.flatten()[order], F.pad(starts, (1, 0))[:-1])

    def neighbours(self, scores: Float32[Tensor, "n q"]) -> Float32[Tensor, "n q"]:
        """Sums of the scores of the neighbours, weighted: the product of the symmetric matrix with the scores."""
        rows = scores.contiguous()
        there = F.embedding_bag(self.nearest, rows, per_sample_weights=self.weights, mode="sum")
        back = F.embedding_bag(self.back, rows, self.starts, per_sample_weights=self.back_weights, mode="sum")
        return there + back

    @property
    def degrees(self) -> Float32[Tensor, "n 1"]:
        """Sums of the weights of each node."""
        return self.neighbours(torch.ones_like(self.weights[:, :1]))


def nearest_graph(
    descriptors: Float[Tensor, "n c"],
    places: Float[Tensor, "n 2"],
    count: int,
    gamma: int | float = 3.0,
    sigma: int | float = 0.01,
    power: int | float = 1.0,
) -> NearestGraph:
    """The graph of tokens that joins each with those whose descriptors are most like its own::

        w_ij = max(0, cos_ij)^γ · exp(−σ · distance_ij^power)        W = w + wᵀ, no node with itself

    Args:
        descriptors: of the tokens, not normalised.
        places: of the tokens in pixels.
        count: tokens that each is joined with, itself among them; all where there are fewer.
        gamma: γ.
        sigma: σ, of one pixel.
        power: of the distance.

    Raises:
        UsageError: where the count is below 1.
    """
    if count < 1:
        raise UsageError(f"each token is joined with 1 or more; got {count}")
    unit, places = F.normalize(descriptors.float(), dim=1), places.to(descriptors.device, torch.float32)
    found, weights = [], []
    most = min(count, len(unit))
    own = torch.arange(len(unit), device=unit.device)[:, None]
    for rows in own[:, 0].split(max(1, COSINES_AT_ONCE // len(unit))):
        cosines, nearest = (unit[rows] @ unit.mT).topk(most, dim=1)
        distances = (places[rows, None] - places[nearest]).square().sum(-1).sqrt()
        some = cosines.clamp(min=0) ** gamma * torch.exp(-sigma * distances**power)
        found.append(nearest)
        weights.append(some.masked_fill(nearest == own[rows], 0))
    return NearestGraph.of(torch.cat(found), torch.cat(weights))
