"""What the ranking-aware adapter sees of an image: cells of its patches, the parts that a region covers, and places.

Convention: an image is squashed to a square, so that all of it is seen; boxes are xyxy pixels, half-open.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from densevl.core.gradients import frozen
from densevl.core.regions import Regions
from densevl.encoders.contracts import Encoder
from densevl.encoders.images import fit

__all__ = ["PLACES", "covered", "image_cells", "place_waves"]

TOGETHER = 16
"""Images that are encoded at once."""

WAVES = (0.5, 1.0, 2.0)
"""Half periods across the image of the waves that say where a cell lies."""

PLACES = 4 * len(WAVES)
"""Numbers that say where a cell lies."""


@frozen
def image_cells(
    encoder: Encoder, images: Sequence[UInt8[np.ndarray, "_ _ 3"]], side: int, cells: int
) -> Float[Tensor, "n p d"]:
    """Patches of images in the joint space, averaged over the cells of a square grid; numbers are about 1 in size.

    Args:
        encoder: of images and texts.
        images: RGB, of any sizes.
        side: to which images are squashed, in pixels.
        cells: down and across.
    """
    found = [torch.zeros(0, cells * cells, encoder.dim)]
    for start in range(0, len(images), TOGETHER):
        some = [_squashed(image, side) for image in images[start : start + TOGETHER]]
        tokens = encoder.tokens(torch.stack(some).to(encoder.device))
        joint = F.normalize(encoder.to_joint(tokens.flatten(2).mT).float(), dim=2) * encoder.dim**0.5
        grid = joint.mT.unflatten(2, tokens.shape[2:])
        found.append(F.adaptive_avg_pool2d(grid, (cells, cells)).flatten(2).mT.cpu())
    return torch.cat(found)


def _squashed(image: UInt8[np.ndarray, "H W 3"], side: int) -> Float[Tensor, "3 h w"]:
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255
    return fit(pixels, (side, side), "squash")[0]


def covered(regions: Regions, cells: int) -> Float[Tensor, "n p"]:
    """The part of each cell that each region covers, by its mask where there is one.

    Args:
        regions: of one image.
        cells: down and across.
    """
    if regions.masks is not None:
        return F.adaptive_avg_pool2d(regions.masks[:, None].float(), (cells, cells)).flatten(1).cpu()
    height, width = regions.size
    x0, y0, x1, y1 = regions.boxes.float().cpu().T
    across, down = _overlap(x0 / width, x1 / width, cells), _overlap(y0 / height, y1 / height, cells)
    return (down[:, :, None] * across[:, None]).flatten(1)


def _overlap(start: Float[Tensor, " n"], end: Float[Tensor, " n"], cells: int) -> Float[Tensor, "n p"]:
    """The part of each cell of [0, 1] that lies between two ends."""
    edges = torch.arange(cells + 1) / cells
    common = torch.minimum(end[:, None], edges[1:]) - torch.maximum(start[:, None], edges[:-1])
    return (common * cells).clamp(0, 1)


def place_waves(cells: int) -> Float[Tensor, "p f"]:
    """Where each cell of a grid lies: sines and cosines of its place across and down."""
    centres = (torch.arange(cells) + 0.5) / cells * 2 - 1
    y, x = (at.flatten() for at in torch.meshgrid(centres, centres, indexing="ij"))
    angles = torch.stack([math.pi * wave * at for wave in WAVES for at in (x, y)], 1)
    return torch.cat([angles.sin(), angles.cos()], 1)
