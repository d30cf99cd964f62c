"""Samples of the data sets of region texts, and batches of them.

Convention: an image is scaled until its long side is ``side`` and padded with black at the right or the bottom, exactly
as ``PromptableCLIP`` does where it embeds; boxes are fractions of the padded square.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from densevl.core.geometry import fit_square, fitted_size, pad_to_multiple

__all__ = ["collate_regions", "region_sample", "square_masks"]


def region_sample(
    image: UInt8[np.ndarray, "H W 3"],
    boxes: Float[Tensor, "r 4"],
    texts: Sequence[str],
    caption: str | None,
    side: int,
    masks: Bool[Tensor, "r H W"] | None = None,
) -> dict[str, Any]:
    """A training sample.

    Args:
        image: RGB.
        boxes: (x0, y0, x1, y1) in pixels of the image; r may be 0.
        texts: of the boxes.
        caption: of the whole image, where there is one.
        side: of the square in pixels.
        masks: of the boxes, where they are known.

    Returns:
        ``images`` (3, side, side) uint8, ``boxes`` (r, 4) float32 as fractions of the square, ``texts`` and
        ``caption``; ``masks`` (r, side, side) bool where they are given.
    """
    height, width = image.shape[:2]
    down, right = fitted_size((height, width), side)
    scale = torch.tensor([right / width, down / height, right / width, down / height]) / side
    square = fit_square(torch.from_numpy(image).permute(2, 0, 1).float() / 255, side)
    sample = {
        "images": (square * 255).round().byte(),
        "boxes": (boxes.float() * scale).clamp(0, 1),
        "texts": tuple(texts),
        "caption": caption,
    }
    return sample if masks is None else {**sample, "masks": square_masks(masks, side)}


def square_masks(masks: Bool[Tensor, "n H W"], side: int) -> Bool[Tensor, "n {side} {side}"]:
    """Masks scaled and padded as their image is; the smallest may lose all their pixels."""
    size = fitted_size((masks.shape[1], masks.shape[2]), side)
    if len(masks) == 0:
        return masks.new_zeros(0, side, side)
    if size != masks.shape[1:]:
        masks = F.interpolate(masks[None].float(), size, mode="bilinear", antialias=True)[0] > 0.5
    return pad_to_multiple(masks[:, : size[0], : size[1]], side)


def collate_regions(samples: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """Samples as lists of images, boxes and texts; MMEngine's own collation wants as many texts of each image."""
    return {name: [sample[name] for sample in samples] for name in samples[0]}
