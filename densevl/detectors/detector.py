"""What every detector is, and what becomes of the boxes of its model."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor
from torchvision.ops import box_convert, nms

from densevl.regions import Regions
from densevl.structures import Size

__all__ = ["SAME_BOX", "Detector", "best_regions"]

SAME_BOX = 0.7
"""Boxes that overlap by more than this IoU are one."""


@runtime_checkable
class Detector(Protocol):
    """Finds what words name.

    Attributes:
        name: what results call it.
    """

    name: str

    def detect(self, image: UInt8[np.ndarray, "H W 3"], text: str, top: int = 10) -> Regions:
        """The ``top`` likeliest boxes for a text, with scores, the best first; fewer where there are not as many."""
        ...


def best_regions(
    boxes: Float[Tensor, "n 4"], scores: Float[Tensor, " n"], scale: tuple[float, float], size: Size, top: int
) -> Regions:
    """The best of a model's boxes as regions of the image.

    Args:
        boxes: (centre x, centre y, width, height), as shares of what ``scale`` says.
        scores: of the boxes; those that are not finite are left out.
        scale: (width, height) in pixels that a share of 1 stands for.
        size: (height, width) of the image; boxes are cut there, and what lies outside is left out.
        top: how many at most, after boxes that overlap by more than :data:`SAME_BOX` are made one.
    """
    height, width = size
    corners = box_convert(boxes.float(), "cxcywh", "xyxy") * boxes.new_tensor([*scale, *scale]).float()
    corners = corners.clamp(min=0).minimum(corners.new_tensor([width, height, width, height]))
    usable = (corners[:, 2:] - corners[:, :2] >= 1).all(1) & scores.isfinite()
    corners, scores = corners[usable].cpu(), scores[usable].float().cpu()
    kept = nms(corners, scores, SAME_BOX)[:top]
    return Regions(corners[kept], size, scores=scores[kept])
