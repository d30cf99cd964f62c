"""Bringing images to where an encoder is."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

__all__ = ["device_of", "on_device"]


def device_of(encoder: nn.Module) -> torch.device:
    """Where the weights are."""
    return next(encoder.parameters()).device


def on_device(images: Shaped[Tensor, "*b 3 H W"], device: torch.device) -> Float[Tensor, "*b 3 H W"]:
    """Images as float in [0, 1], moved as bytes where they are bytes."""
    moved = images.to(device)
    return moved.float() / 255 if moved.dtype == torch.uint8 else moved
