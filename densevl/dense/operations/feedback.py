"""Feedback of labels: how much patches belong together, as a first labelling of them has it."""

from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int, Int64
from torch import Tensor

from densevl.core.geometry import Size

__all__ = ["feedback_of_labels"]

RADIUS, SIGMA = 15, 5.0
"""Of the Gaussian along the rows of the matrix, as in the reference code of ResCLIP."""

PAIRS_AT_ONCE = 2**23
"""Pairs of patches whose paths are walked together: 64 MiB of places."""


def feedback_of_labels(labels: Int[Tensor, "b h w"]) -> Float32[Tensor, "b n n"]:
    """How much patches belong together by their labels and their places; each row sums to 1.

    With s the Chebyshev distance of two patches, S the largest on the grid, and a straight path from the one to the
    other sampled at S + 1 places, of which the first s + 1 are looked at::

        F_ij = [same label] · (1 if the path stays in the label, else e^(−s / S))

    and each row, in reading order of the patches, is blurred by a Gaussian of σ 5. A path of which only a part is
    looked at is that of ResCLIP's reference code: near pairs nearly always pass.

    Args:
        labels: of the patches.
    """
    grid = (labels.shape[1], labels.shape[2])
    count, device = grid[0] * grid[1], labels.device
    down, across = (way.to(device) for way in _ways(grid))
    distance, largest = _distances(grid, device), len(down) - 1
    steps = torch.arange(-RADIUS, RADIUS + 1, dtype=torch.float32, device=device)
    kernel = torch.exp(-steps.square() / (2 * SIGMA**2))
    kernel = kernel / kernel.sum()
    result = torch.empty(len(labels), count, count, device=device)
    for image, flat in zip(result, labels.flatten(1), strict=True):
        for rows in torch.arange(count, device=device).split(max(1, PAIRS_AT_ONCE // count)):
            same = flat[rows, None] == flat
            passes = torch.ones_like(same)
            for step in range(1, largest + 1):
                place = down[step, rows // grid[1]][:, :, None] * grid[1] + across[step, rows % grid[1]][:, None]
                passes &= (flat[place.flatten(1)] == flat[rows, None]) | (distance[rows] < step)
            weight = torch.where(passes, 1.0, torch.exp(-distance[rows] / largest)) * same
            blurred = F.conv1d(weight[:, None], kernel[None, None], padding=RADIUS)[:, 0]
            image[rows] = blurred / blurred.sum(1, keepdim=True)
    return result


@lru_cache(maxsize=4)
def _distances(grid: Size, device: torch.device) -> Float[Tensor, "n n"]:
    """Chebyshev distance of all pairs of patches."""
    rows, columns = (torch.arange(side, dtype=torch.float32, device=device) for side in grid)
    places = torch.cartesian_prod(rows, columns)
    return (places[:, None] - places).abs().amax(2)


@lru_cache(maxsize=16)
def _ways(grid: Size) -> tuple[Int64[Tensor, "s h h"], Int64[Tensor, "s w w"]]:
    """Row and column at each sample of the straight path from one row to another, and from one column to another.

    On the CPU and in float32, as the reference code rounds it.
    """
    shares = torch.linspace(0, 1, max(2, *grid))[:, None, None]
    sides = (torch.arange(side, dtype=torch.float32) for side in grid)
    down, across = (((1 - shares) * side[:, None] + shares * side).round().long() for side in sides)
    return down, across
