"""The contract of detectors, and the cleaning of the boxes of their models."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torchvision.ops import batched_nms, box_convert, nms

from densevl.core.geometry import Size
from densevl.core.regions import Regions

__all__ = ["SAME_BOX", "Detector", "Found", "Picture", "best_regions", "find_one_by_one", "named_regions"]

SAME_BOX = 0.7
"""Boxes that overlap by more than this IoU are one."""

MOST_BOXES = 100
"""Boxes of a text wanted of a detector that takes one text at a time."""

Picture = np.ndarray
"""An image, uint8 RGB (H, W, 3)."""


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


@dataclass(frozen=True, eq=False)
class Found:
    """The boxes that were found in an image for several texts.

    Attributes:
        regions: boxes with scores, the best first.
        names: index of the text that suits each box best.
    """

    regions: Regions
    names: tuple[int, ...]


def find_one_by_one(
    detector: Detector, images: Sequence[Picture], texts: Sequence[Sequence[str]], threshold: int | float
) -> list[Found]:
    """The boxes in each image for several texts, one text after the other.

    Args:
        detector: any.
        images: uint8 RGB (H, W, 3).
        texts: those of each image.
        threshold: least score, itself left out.
    """
    return [_find(detector, image, names, threshold) for image, names in zip(images, texts, strict=True)]


def _find(detector: Detector, image: Picture, texts: Sequence[str], threshold: int | float) -> Found:
    found = [detector.detect(image, text, MOST_BOXES) for text in texts]
    boxes = torch.cat([torch.zeros(0, 4), *(regions.boxes for regions in found)])
    scores = [torch.zeros(0), *(regions.scores for regions in found if regions.scores is not None)]
    names = [torch.full((len(regions),), i) for i, regions in enumerate(found)]
    size = image.shape[0], image.shape[1]
    return named_regions(boxes, torch.cat(scores), torch.cat([torch.zeros(0).long(), *names]), size, threshold)


def named_regions(
    boxes: Float[Tensor, "n 4"],
    scores: Float[Tensor, " n"],
    names: Int[Tensor, " n"],
    size: Size,
    threshold: int | float,
) -> Found:
    """The boxes above a threshold, the best first; of one text, those that overlap above :data:`SAME_BOX` are one.

    Args:
        boxes: xyxy in pixels, on any device; they are cut at the image's edges, and what is left of them below a pixel
            is left out.
        scores: of the boxes; those that are not finite are left out.
        names: index of the text of each box.
        size: (height, width) of the image.
        threshold: least score, itself left out.
    """
    height, width = size
    boxes, scores, names = boxes.cpu().float(), scores.cpu().float(), names.cpu()
    corners = boxes.clamp(min=0).minimum(boxes.new_tensor([width, height, width, height]))
    kept = (corners[:, 2:] - corners[:, :2] >= 1).all(1) & scores.isfinite() & (scores > threshold)
    corners, scores, names = corners[kept], scores[kept], names[kept]
    order = batched_nms(corners, scores, names, SAME_BOX)
    return Found(Regions(corners[order], size, scores=scores[order]), tuple(names[order].tolist()))


def best_regions(
    boxes: Float[Tensor, "n 4"], scores: Float[Tensor, " n"], scale: tuple[float, float], size: Size, top: int
) -> Regions:
    """The best of a model's boxes as regions of the image.

    Args:
        boxes: (centre x, centre y, width, height), in units of ``scale``.
        scores: of the boxes; those that are not finite are left out.
        scale: (width, height) in pixels of the unit.
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
