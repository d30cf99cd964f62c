"""Likeness of the places of patches, as biases of attention."""

from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from torch import Tensor

from densevl.core.geometry import Size

__all__ = ["neighbour_bias", "token_bias"]


@lru_cache(maxsize=16)
def neighbour_bias(grid: Size, sigma: float, device: torch.device) -> Float32[Tensor, "n n"]:
    """Likeness of the places of all pairs of patches: ``exp(−distance² / (2 σ²))``.

    Args:
        grid: patches (down, right), taken in reading order.
        sigma: in patches.
        device: where it lies.
    """
    rows, columns = (torch.arange(side, dtype=torch.float32, device=device) for side in grid)
    places = torch.cartesian_prod(rows, columns)
    distances = (places[:, None] - places[None]).square().sum(dim=2)
    return torch.exp(-distances / (2 * sigma**2))


def token_bias(grid: Size, prefix: int, sigma: float, like: Tensor) -> Float[Tensor, "n n"]:
    """The same for all tokens of an image: 0 in the rows and columns of those before the patches.

    It is made for a grid once, and kept, unless a graph is compiled, which has no such memory.

    Args:
        grid: patches (down, right).
        prefix: number of tokens before the patches.
        sigma: in patches.
        like: a tensor of the device and the dtype that it shall have.
    """
    made = neighbour_bias.__wrapped__ if torch.compiler.is_compiling() else neighbour_bias
    places = made(grid, sigma, like.device)
    return F.pad(places, (prefix, 0, prefix, 0)).to(like.dtype)
