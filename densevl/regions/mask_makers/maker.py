"""The contract of mask makers.

Convention: boxes are xyxy pixels of the image, half-open; points are (x, y) of a pixel's centre with the first pixel at
(0, 0), as segment_anything counts; masks are bool "n H W" of the image's size, on the CPU. A mask may be empty, and may
extend beyond its box.
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.core.geometry import Size
from densevl.core.images import as_image
from densevl.core.regions import Regions, numbers

__all__ = ["Boxes", "MaskMaker", "Picture", "PreparedImage", "as_prepared", "checked_boxes", "checked_points"]


@dataclass(frozen=True, eq=False)
class PreparedImage:
    """An image that a mask maker has encoded, for any number of prompts.

    Attributes:
        image: the image itself.
        model_id: identity of the mask maker.
        maps: what its encoder made of it; nothing where it has no encoder.
        input_size: (height, width) of the image as the encoder saw it.
    """

    image: UInt8[np.ndarray, "H W 3"]
    model_id: str
    maps: tuple[Tensor, ...] = ()
    input_size: Size | None = None

    @property
    def size(self) -> Size:
        """(height, width) of the image."""
        return self.image.shape[0], self.image.shape[1]


Picture = Any
"""An image as :func:`densevl.read_image` takes it, or one that this mask maker has prepared."""

Boxes = Any
"""Regions, or numbers "n 4"."""


@runtime_checkable
class MaskMaker(Protocol):
    """From boxes, points or nothing to masks.

    Attributes:
        name: what results call it.
        model_id: identity of the model, its weights and every setting that changes its masks.
    """

    name: str
    model_id: str

    def encode(self, image: Picture) -> PreparedImage:
        """Look at an image once; the other methods take the result in the place of the image."""
        ...

    def from_boxes(self, image: Picture, boxes: Boxes) -> Bool[Tensor, "n H W"]:
        """One mask for each box."""
        ...

    def from_points(self, image: Picture, points: Any, labels: Any | None = None) -> Bool[Tensor, "n H W"]:
        """One mask for each row of points."""
        ...

    def everything(self, image: Picture) -> Regions:
        """All regions that it sees in the image, with masks and scores, the best first."""
        ...

    def to(self, device: str | torch.device | None = None, dtype: str | torch.dtype | None = None) -> "MaskMaker":
        """Move it to a device and choose the arithmetic of its encoder; returns itself."""
        ...


def as_prepared(image: Picture, model_id: str) -> PreparedImage:
    """The image, prepared or not, ready to be encoded.

    Raises:
        ImageError: where it is no image.
        UsageError: where another mask maker prepared it.
    """
    if not isinstance(image, PreparedImage):
        return PreparedImage(as_image(image), model_id)
    if image.model_id != model_id:
        raise UsageError(
            f"the image was prepared by {image.model_id}, and {model_id} makes the masks; let it prepare the image"
        )
    return image


def checked_boxes(boxes: Boxes, size: Size) -> Float[Tensor, "n 4"]:
    """Boxes inside the image, as float32 on the CPU; what reaches out of it is cut off.

    Raises:
        UsageError: where a box is outside, empty, reversed or not finite, or belongs to an image of another size.
    """
    if isinstance(boxes, Regions):
        if tuple(boxes.size) != tuple(size):
            raise UsageError(f"the regions are of an image of {tuple(boxes.size)}, this one is {tuple(size)}")
        return boxes.boxes.cpu().float()
    values = boxes.cpu() if isinstance(boxes, Tensor) else boxes
    return Regions.from_boxes(values, size).boxes


def checked_points(points: Any, labels: Any | None, size: Size) -> tuple[Float[Tensor, "n k 2"], Int[Tensor, "n k"]]:
    """Points inside the image and whether each lies in the thing (1) or beside it (0); without labels all lie in it.

    Raises:
        UsageError: where the layout is another, a point is outside the image, or a label is neither 0 nor 1.
    """
    places = numbers(points, "points").cpu()
    if places.ndim != 3 or places.shape[-1] != 2 or 0 in places.shape[1:]:
        raise UsageError(f"points must have shape (n, k, 2), k points a mask; got {tuple(places.shape)}")
    inside = (
        torch.ones(places.shape[:2], dtype=torch.long) if labels is None else numbers(labels, "labels").cpu().long()
    )
    if inside.shape != places.shape[:2]:
        raise UsageError(f"labels must have shape {tuple(places.shape[:2])}, as the points; got {tuple(inside.shape)}")
    if not ((inside == 0) | (inside == 1)).all():
        raise UsageError("labels must be 1 (in the thing) or 0 (beside it)")
    limits = torch.tensor([size[1], size[0]])
    outside = (~((places >= 0) & (places < limits)).all(-1)).nonzero().tolist()
    if outside:
        x, y = places[tuple(outside[0])].tolist()
        raise UsageError(f"point ({x:g}, {y:g}) is outside the image, which is {size[1]} wide and {size[0]} high")
    return places, inside
