"""CIE L*a*b* of colours, as tensors."""

import torch
from jaxtyping import Float, Float32
from torch import Tensor

__all__ = ["lab"]

XYZ = [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
"""Linear sRGB to CIE XYZ; each row a coordinate."""

WHITE = [0.95047, 1.0, 1.08883]
"""XYZ of white, D65."""


def lab(image: Float[Tensor, "3 H W"]) -> Float32[Tensor, "3 H W"]:
    """Lightness in [0, 100], green to red, and blue to yellow.

    Args:
        image: sRGB in [0, 1].
    """
    rgb = image.float()
    linear = torch.where(rgb > 0.04045, ((rgb + 0.055) / 1.055).clamp(min=0) ** 2.4, rgb / 12.92)
    to_xyz = torch.tensor(XYZ, device=rgb.device) / torch.tensor(WHITE, device=rgb.device)[:, None]
    xyz = torch.einsum("ij,jhw->ihw", to_xyz, linear)
    x, y, z = torch.where(xyz > 0.008856, xyz.clamp(min=0.008856) ** (1 / 3), 7.787 * xyz + 4 / 29)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)])
