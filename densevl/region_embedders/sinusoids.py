"""Sinusoidal encodings of places."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["sinusoids"]


def sinusoids(values: Float[Tensor, "*b n"], frequencies: int, shortest: float) -> Float[Tensor, "*b m"]:
    """Sines and cosines of each of n values, one after the other, m = 2 · frequencies · n.

    Args:
        values: in [0, 1].
        frequencies: how many, geometrically spaced.
        shortest: wavelength of the last; that of the first is 2.
    """
    exponents = torch.linspace(0, 1, frequencies, dtype=values.dtype, device=values.device)
    angles = values[..., None] * (math.pi * (2 / shortest) ** exponents)
    return torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(-2)
