"""Views of regions: what the same thing looks like where its box or its mask is drawn a little otherwise.

The reference codes of few-shot classification encode ten random crops of an image. Regions of one image are embedded by
one pass of the encoder, so further regions of it cost nearly nothing. The mirror image is one more pass, and shows each
of these regions once more.
"""

from dataclasses import replace

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from densevl.core.regions import Regions

__all__ = ["jittered_boxes", "mirror_image", "mirrored", "reshaped_mask", "skip_view", "views_of"]

SHIFT, SCALE = 0.1, 0.1
"""Standard deviations: of the centre of a box, in its sides, and of the logarithm of each side."""

THICKNESS = 0.1
"""Greatest width of the rim that a mask loses or gets, as a fraction of the root of its area."""


def views_of(regions: Regions, count: int, rng: np.random.Generator) -> list[Regions]:
    """Further regions of the same things: boxes are moved and scaled, masks are eroded or dilated.

    Args:
        regions: of one image.
        count: views of each region.
        rng: source of chance.

    Returns:
        ``count`` sets of as many regions as were given, in their order.
    """
    made = []
    for _ in range(count):
        boxes, masks = jittered_boxes(regions.boxes, (regions.size[0], regions.size[1]), rng), regions.masks
        if masks is not None:
            made.append(Regions.from_masks(torch.stack([reshaped_mask(mask, rng) for mask in masks])))
        else:
            made.append(Regions(boxes, regions.size))
    return made


def skip_view(count: int, masked: bool, rng: np.random.Generator) -> None:
    """Draw what :func:`views_of` draws for one view of some regions, without the regions.

    Args:
        count: of the regions.
        masked: whether they have masks.
        rng: source of chance.
    """
    for _ in range(2):
        rng.standard_normal((count, 2))
    for _ in range(count if masked else 0):
        rng.uniform(-THICKNESS, THICKNESS)


def jittered_boxes(
    boxes: Float[Tensor, "n 4"], size: tuple[int, int], rng: np.random.Generator
) -> Float[Tensor, "n 4"]:
    """Boxes with other centres and sides, cut to the image.

    Args:
        boxes: xyxy.
        size: (height, width) of the image.
        rng: source of chance.
    """
    sides, centres = boxes[:, 2:] - boxes[:, :2], (boxes[:, 2:] + boxes[:, :2]) / 2
    moved = centres + SHIFT * sides * _normal(rng, sides)
    scaled = sides * (SCALE * _normal(rng, sides)).exp() / 2
    limits = torch.tensor([size[1], size[0]], dtype=boxes.dtype)
    low = torch.minimum((moved - scaled).clamp(min=0), limits - 1)
    high = torch.minimum(torch.maximum(moved + scaled, low + 1), limits)
    return torch.cat([low, high], dim=1)


def reshaped_mask(mask: Bool[Tensor, "H W"], rng: np.random.Generator) -> Bool[Tensor, "H W"]:
    """A mask without its outermost pixels, or with a rim more; as it is where nothing would be left of it."""
    width = rng.uniform(-THICKNESS, THICKNESS) * float(mask.sum()) ** 0.5
    radius = round(abs(width))
    if radius == 0:
        return mask
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    change = cv2.erode if width < 0 else cv2.dilate
    made = torch.from_numpy(change(mask.numpy().astype(np.uint8), disc, borderValue=0) > 0)
    return made if made.any() else mask


def mirror_image(image: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W 3"]:
    """An image with left and right exchanged."""
    return np.ascontiguousarray(image[:, ::-1])


def mirrored(regions: Regions) -> Regions:
    """Regions of an image where they lie in its mirror image, in their order."""
    left, top, right, bottom = regions.boxes.unbind(1)
    boxes = torch.stack([regions.size[1] - right, top, regions.size[1] - left, bottom], dim=1)
    return replace(regions, boxes=boxes, masks=None if regions.masks is None else regions.masks.flip(-1))


def _normal(rng: np.random.Generator, like: Float[Tensor, "n 2"]) -> Float[Tensor, "n 2"]:
    return torch.from_numpy(rng.standard_normal(tuple(like.shape))).to(like)
