"""Painting label maps from regions: what the regions that cover a pixel say of it.

A pixel's probabilities depend only on the *set* of regions that cover it, and an image has few different sets. So
pixels are grouped by their set, probabilities are mixed once a set, and no ``k × H × W`` tensor is needed for labels.
"""

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from densevl.core.geometry import Size

__all__ = ["OVERLAPS", "coverage_of_regions", "covering_sets", "resize_sets", "spread_sets"]

OVERLAPS = ("mean", "best", "smallest", "sum")
"""Where regions overlap: the mean of their probabilities, those of the surest region, those of the smallest one, or
those of the sum of their logits (TextRegion)."""


def covering_sets(masks: Bool[Tensor, "n H W"]) -> tuple[Int64[Tensor, "H W"], Bool[Tensor, "s n"]]:
    """Group the pixels by the set of masks that cover them.

    Returns:
        The set of each pixel, and the members of each set.
    """
    flat = masks.flatten(1)
    sets = torch.zeros(flat.shape[1], dtype=torch.int64, device=masks.device)
    for group in flat.split(30):  # 30 more bits each time: an image has fewer than 2^32 sets
        for mask in group:
            sets.mul_(2).add_(mask)
        sets = sets.unique(return_inverse=True)[1]
    pixels = torch.arange(len(sets), device=masks.device)
    example = torch.zeros(int(sets.max()) + 1, dtype=torch.int64, device=masks.device)
    example.scatter_reduce_(0, sets, pixels, "amax")
    return sets.view(masks.shape[1:]), flat[:, example].T


def coverage_of_regions(
    members: Bool[Tensor, "s n"], areas: Float[Tensor, " n"], probabilities: Float32[Tensor, "n k"], overlap: str
) -> Float32[Tensor, "s n"]:
    """Weight of each region in each set; rows sum to 1, that of the empty set to 0.

    Args:
        members: the regions of each set.
        areas: of the regions in pixels.
        probabilities: of the classes for each region.
        overlap: one of :data:`OVERLAPS`.
    """
    if overlap == "mean" or members.shape[1] == 0:
        return members.float() / members.sum(1, keepdim=True).clamp(min=1)
    rank = probabilities.amax(1) if overlap == "best" else -areas.to(probabilities)
    first = torch.where(members, rank, -torch.inf).argmax(1, keepdim=True)
    return torch.zeros_like(members, dtype=torch.float32).scatter_(1, first, 1.0) * members.any(1, keepdim=True)


def spread_sets(sets: Int64[Tensor, "H W"], empty: int) -> Int64[Tensor, "H W"]:
    """Give the pixels of the empty set the set of the nearest other pixel.

    OpenCV measures distance by steps of a 5×5 neighbourhood: a pixel that is a few percent farther may be taken.
    """
    bare = (sets == empty).cpu().numpy().astype(np.uint8)
    _, nearest = cv2.distanceTransformWithLabels(bare, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    of_label = torch.zeros(int(nearest.max()) + 1, dtype=torch.int64, device=sets.device)
    index = torch.from_numpy(nearest.astype(np.int64)).to(sets.device)
    covered = sets != empty
    of_label[index[covered]] = sets[covered]
    return of_label[index]


def resize_sets(sets: Int64[Tensor, "_ _"], size: Size) -> Int64[Tensor, "_ _"]:
    """The sets at another size: a pixel takes what the pixel under its centre has."""
    height, width = sets.shape
    if (height, width) == tuple(size):
        return sets
    rows, columns = (
        (2 * torch.arange(out, device=sets.device) + 1) * length // (2 * out)
        for out, length in zip(size, (height, width), strict=True)
    )
    return sets[rows[:, None], columns]
