"""From an encoder's patches to the sub-patches that they are cut into, and images to whole patches."""

from dataclasses import replace

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from densevl.core.features import DenseFeatures
from densevl.core.geometry import pad_to_multiple

__all__ = ["on_sub_patches", "whole_patches"]


def on_sub_patches(features: DenseFeatures, factor: int) -> DenseFeatures:
    """Features in which each patch is cut into ``factor`` × ``factor`` that have what it has.

    Foreground logits are read bilinearly at the new patches' centres.
    """
    if factor == 1:
        return features
    keys, foreground = features.keys, features.foreground
    if foreground is not None:
        sizes = [factor * side for side in foreground.shape[1:]]
        foreground = F.interpolate(foreground[:, None], sizes, mode="bilinear", align_corners=False)[:, 0]
    return replace(
        features,
        grid=_repeat(features.grid, factor),
        patch_size=features.patch_size // factor,
        keys=None if keys is None else _repeat(keys, factor),
        maps={name: _repeat(value, factor) for name, value in features.maps.items()},
        foreground=foreground,
    )


def _repeat(grid: Float[Tensor, "b c h w"], factor: int) -> Float[Tensor, "b c h2 w2"]:
    return grid.repeat_interleave(factor, dim=2).repeat_interleave(factor, dim=3)


def whole_patches(images: Float[Tensor, "b 3 H W"], patch_size: int) -> Float[Tensor, "b 3 H2 W2"]:
    """Images continued in black at the right and the bottom, as the encoder continues them."""
    return pad_to_multiple(images, patch_size)
