"""Image towers whose linear layers compute in int8.

Queries, keys and values, the projections of attention and the feed-forward layers are replaced weight by weight, so
that every reader of a block meets them. What is no linear layer (norms, attention itself, convolutions, the projection
to the joint space) stays as it is, and so do text towers: their vectors are kept on disk.
"""

from torch import nn

from densevl.core.int8 import Int8Weight
from densevl.encoders.clip import WholeImageEncoder

__all__ = ["quantise_images"]

LEAST_WIDTH = 64
"""Layers that are narrower on either side stay: to make their input integers takes longer than their product."""


def quantise_images(module: nn.Module) -> int:
    """Let the linear layers of the image towers of all encoders in a module compute in int8.

    Args:
        module: with encoders of images and texts somewhere inside; it is changed.

    Returns:
        The number of weights in int8.
    """
    towers = {id(part.model.visual): part.model.visual for part in module.modules() if _has_tower(part)}
    return sum(_quantise(layer) for tower in towers.values() for layer in tower.modules())


def _has_tower(part: nn.Module) -> bool:
    return isinstance(part, WholeImageEncoder)


def _quantise(layer: nn.Module) -> int:
    """Replace the weights that a layer multiplies tokens with; the number of those in int8."""
    count = 0
    for name, weight in list(layer.named_parameters(recurse=False)):
        if not (name == "in_proj_weight" or (name == "weight" and isinstance(layer, nn.Linear))):
            continue
        if not isinstance(weight, Int8Weight) and min(weight.shape) >= LEAST_WIDTH:
            setattr(layer, name, Int8Weight.of(weight))
        count += isinstance(getattr(layer, name), Int8Weight)
    return count
