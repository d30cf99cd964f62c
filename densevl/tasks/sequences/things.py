"""The things of a frame: where they are, what they look like, and how near the nearest two are.

Things are what a refiner's foreground covers, piece by piece, or else what a mask maker proposes. A gap is the distance
between the outlines of two things in units of their mean radius, a quarter of the sum of height and width. So neither
the size of the frame nor that of its patches matters.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from densevl.core.regions import Regions

__all__ = ["FrameThings", "apart", "pieces", "things_of"]

LEAST = 0.002
"""Part of a frame below which a piece is no thing."""

MOST = 8
"""Things that are kept of a frame, the largest."""

LARGEST = 0.35
"""Part of a frame above which a proposal is no thing but what it stands on."""

SAME = 0.5
"""Part of a proposal that, in another one of a better score, makes it a part or a double of that one."""


@dataclass(frozen=True, eq=False)
class FrameThings:
    """The things of a frame.

    Attributes:
        vectors: unit vector of each; of the whole frame where there is none.
        count: of things, 0 or more.
        gap: between the nearest two, 0 where they touch; None where there are fewer than two.
    """

    vectors: Float[Tensor, "n d"]
    count: int
    gap: float | None


def things_of(masks: Bool[np.ndarray, "n h w"], grid: Float[Tensor, "d h w"]) -> FrameThings:
    """The things of masks.

    Args:
        masks: of each thing, on the grid.
        grid: dense features of the frame.
    """
    unit = F.normalize(grid.float(), dim=0)
    if not len(masks):
        return FrameThings(F.normalize(unit.mean((1, 2)), dim=0)[None].cpu(), 0, None)
    inside = torch.from_numpy(masks).to(unit).flatten(1)
    vectors = F.normalize(inside @ unit.flatten(1).mT, dim=1)
    return FrameThings(vectors.cpu(), len(masks), _nearest(masks))


def pieces(foreground: Float[Tensor, "h w"]) -> Bool[np.ndarray, "n h w"]:
    """The connected pieces of what is foreground, the largest first; cells that meet at a corner are connected.

    Args:
        foreground: logit of each cell showing a thing.
    """
    inside = (foreground > 0).cpu().numpy().astype(np.uint8)
    _, numbers, facts, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
    areas = facts[1:, cv2.CC_STAT_AREA]
    order = [i for i in np.argsort(-areas, kind="stable") if areas[i] >= max(1, LEAST * inside.size)][:MOST]
    return numbers == np.array(order, dtype=np.int32)[:, None, None] + 1


def apart(regions: Regions) -> Bool[np.ndarray, "n H W"]:
    """The proposals that are things by themselves, those of the best scores first.

    What covers much of the frame is the ground, and what lies in a better proposal is a part of it.

    Args:
        regions: with masks, the best first.
    """
    kept: list[np.ndarray] = []
    masks = np.zeros((0, *regions.size), bool) if regions.masks is None else regions.masks.cpu().numpy()
    for mask in masks:
        area = int(mask.sum())
        if not LEAST * mask.size <= area <= LARGEST * mask.size:
            continue
        if all((mask & other).sum() <= SAME * min(area, int(other.sum())) for other in kept) and len(kept) < MOST:
            kept.append(mask)
    return np.stack(kept) if kept else masks[:0]


def _nearest(masks: Bool[np.ndarray, "n h w"]) -> float | None:
    """The smallest gap of two of them; None for one."""
    radii = [(np.count_nonzero(mask.any(0)) + np.count_nonzero(mask.any(1))) / 4 for mask in masks]
    gaps = []
    for i in range(len(masks) - 1):
        away = cv2.distanceTransform((~masks[i]).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for j in range(i + 1, len(masks)):
            gaps.append(max(float(away[masks[j]].min()) - 1, 0.0) / ((radii[i] + radii[j]) / 2))
    return round(min(gaps), 4) if gaps else None
