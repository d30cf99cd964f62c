"""Boxes as a careless detector would give them."""

import torch
from jaxtyping import Float
from torch import Tensor

from densevl.core.geometry import Size

__all__ = ["SCALED", "SHIFTED", "noisy_boxes"]

SHIFTED = 0.2
"""Standard deviation of the shift of a box's centre, in sides of the box."""

SCALED = 0.3
"""Standard deviation of the logarithm of the factor of each side."""

LEAST = 4.0


def noisy_boxes(boxes: Float[Tensor, "n 4"], size: Size, generator: torch.Generator) -> Float[Tensor, "n 4"]:
    """Boxes whose centres are shifted and whose sides are scaled, each axis by itself, cut to the image.

    Args:
        boxes: (x0, y0, x1, y1) in pixels.
        size: (height, width) of the image; no side becomes shorter than 4 pixels.
        generator: where the random numbers come from; the same state gives the same boxes.
    """
    shift, factor = torch.randn(2, len(boxes), 2, generator=generator).to(boxes)
    sides = boxes[:, 2:] - boxes[:, :2]
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2 + SHIFTED * sides * shift
    half = sides * torch.exp(SCALED * factor) / 2
    limits = boxes.new_tensor([size[1], size[0]])
    low = (centres - half).clamp(min=0).minimum(limits - LEAST)
    return torch.cat([low, (centres + half).minimum(limits).maximum(low + LEAST)], dim=1)
