"""Clusters of things by Ward's method, from their distances.

Source: Ward, Hierarchical Grouping to Optimize an Objective Function, Journal of the American Statistical Association
58, 1963, by the recurrence of Lance and Williams: the two nearest clusters become one until none are nearer than a
height. With n_x things in a cluster x, and clusters a and b made one, its distance from c is ::

    d² = ((n_a + n_c) d_ac² + (n_b + n_c) d_bc² − n_c d_ab²) / (n_a + n_b + n_c)
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

__all__ = ["ward_clusters"]


def ward_clusters(distances: Float[Tensor, "n n"], height: float) -> Int64[Tensor, " n"]:
    """The cluster of each thing, by the index of its first one.

    Args:
        distances: symmetric.
        height: distance above which clusters are not joined.
    """
    square = distances.double().square()
    square.fill_diagonal_(torch.inf)
    labels = torch.arange(len(square), device=square.device)
    sizes = torch.ones(len(square), dtype=square.dtype, device=square.device)
    while len(square) > 1:
        place = int(square.argmin())
        a, b = sorted(divmod(place, len(square)))
        least = square[a, b].clone()
        if least > height**2:
            break
        joined = (sizes[a] + sizes) * square[a] + (sizes[b] + sizes) * square[b] - sizes * least
        joined = joined / (sizes[a] + sizes[b] + sizes)
        joined[[a, b]] = torch.inf
        square[a], square[:, a] = joined, joined
        square[b], square[:, b] = torch.inf, torch.inf
        sizes[a] += sizes[b]
        labels[labels == b] = a
    return labels
