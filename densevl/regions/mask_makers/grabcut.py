"""Masks by GrabCut (Rother et al., SIGGRAPH 2004) through OpenCV: an honest mask maker where there are no weights.

What lies in the box is separated from its surroundings by colour alone. It knows boxes only. Each box is looked at
within a margin, which keeps the colours of the background local and the time independent of the image's size.
"""

from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.core.regions import Regions
from densevl.regions.mask_makers.clean import SMALL, least_area, without_small_pieces
from densevl.regions.mask_makers.maker import Boxes, Picture, PreparedImage, as_prepared, checked_boxes

__all__ = ["GrabCut"]

SEED = 0
"""OpenCV's generator is set to it before every box, so that masks depend neither on their order nor on their number."""
COLOURS = 5
"""Colours in OpenCV's models of thing and background: each needs as many pixels."""
EDGE = 2
"""Least width of the surroundings in pixels."""


class GrabCut:
    """A mask maker without weights.

    Args:
        iterations: rounds of fitting the colours and cutting.
        margin: width of the surroundings that are taken for background, as a fraction of the box's sides.
        small: holes and islands below this fraction of the image are removed; 0 keeps all.
    """

    name = "GrabCut"

    def __init__(self, iterations: int = 5, margin: int | float = 0.5, small: int | float = SMALL):
        if iterations < 1 or margin <= 0 or not 0 <= small < 1:
            raise UsageError(
                f"expected iterations >= 1, margin > 0 and small in [0, 1); got {iterations}, {margin} and {small}"
            )
        self.iterations, self.margin, self.small = iterations, margin, small
        self.model_id = f"grabcut-opencv{cv2.__version__},iterations={iterations},margin={margin:g},small={small:g}"

    def to(self, device: str | torch.device | None = None, dtype: str | torch.dtype | None = None) -> "GrabCut":
        """Stay on the CPU: OpenCV has no other place for it."""
        return self

    def encode(self, image: Picture) -> PreparedImage:
        """The image itself; there is nothing to encode."""
        return as_prepared(image, self.model_id)

    def from_boxes(self, image: Picture, boxes: Boxes) -> Bool[Tensor, "n H W"]:
        """One mask for each box, inside the box.

        A box that holds fewer pixels than the model has colours is its own mask.

        Raises:
            UsageError: where a box is outside the image, empty, reversed or not finite.
            ImageError: where it is no image.
        """
        prepared = self.encode(image)
        found = checked_boxes(boxes, prepared.size)
        masks = torch.zeros(len(found), *prepared.size, dtype=torch.bool)
        for mask, box in zip(masks, found.double().numpy(), strict=True):
            x0, y0 = np.floor(box[:2]).astype(int).tolist()
            x1, y1 = np.ceil(box[2:]).astype(int).tolist()
            mask[y0:y1, x0:x1] = torch.from_numpy(self._cut(prepared.image, (x0, y0, x1, y1)))
        return without_small_pieces(masks, least_area(prepared.size, self.small))[0]

    def from_points(self, image: Picture, points: Any, labels: Any | None = None) -> Bool[Tensor, "n H W"]:
        """Not known.

        Raises:
            UsageError: always.
        """
        raise UsageError("GrabCut makes masks from boxes only; take a SAM, such as `mini-sam`, for points")

    def everything(self, image: Picture) -> Regions:
        """Not known.

        Raises:
            UsageError: always.
        """
        raise UsageError("GrabCut makes masks from boxes only; take a SAM, such as `mini-sam`, for proposals")

    def _cut(self, image: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
        """The mask inside one box."""
        x0, y0, x1, y1 = box
        width, height = x1 - x0, y1 - y0
        if width * height < COLOURS:
            return np.ones((height, width), bool)
        left, right = _spread(x0, x1, self.margin, image.shape[1])
        top, bottom = _spread(y0, y1, self.margin, image.shape[0])
        seen = image[top:bottom, left:right]
        column, row = x0 - left, y0 - top
        if seen.shape[0] * seen.shape[1] - width * height < COLOURS:
            # The box fills the image: what its edges show is taken for its surroundings.
            seen = cv2.copyMakeBorder(seen, EDGE, EDGE, EDGE, EDGE, cv2.BORDER_REPLICATE)
            column, row = column + EDGE, row + EDGE
        return self._run(seen, (column, row, width, height))

    def _run(self, pixels: np.ndarray, rectangle: tuple[int, int, int, int]) -> np.ndarray:
        """OpenCV's GrabCut within a rectangle (x, y, width, height)."""
        x, y, width, height = rectangle
        labels = np.zeros(pixels.shape[:2], np.uint8)
        models = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.setRNGSeed(SEED)
        cv2.grabCut(
            np.ascontiguousarray(pixels[..., ::-1]), labels, rectangle, *models, self.iterations, cv2.GC_INIT_WITH_RECT
        )
        return (labels & 1).astype(bool)[y : y + height, x : x + width]


def _spread(start: int, end: int, margin: float, limit: int) -> tuple[int, int]:
    """An interval with a margin on both sides, inside the image."""
    more = max(EDGE, round(margin * (end - start)))
    return max(start - more, 0), min(end + more, limit)
