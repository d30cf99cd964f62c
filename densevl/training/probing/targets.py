"""What is asked of an image with boxes: which things are there, where on a coarse grid, how many, how far it is free.

Source: Khandelwal et al., Simple but Effective: CLIP Embeddings for Embodied AI, CVPR 2022,
https://arxiv.org/abs/2111.09888, section on visual primitives; presence, localisation and free space are asked there of
rooms. Where we differ: boxes are all that is known; counting takes the place of reachability, which wants depth; and
free space is that of the image, from its foot upwards, in each column of the grid.

Convention: boxes are xyxy in fractions of the width and the height of the image; a grid has ``side`` rows and columns.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = ["MOST", "STEPS", "KnownImage", "Targets", "targets_of"]

PART = 0.25
"""Part of a box in a cell, or of a cell in a box, from which the thing counts as being in the cell."""

MOST = 5
"""Things that are counted; more count as that."""

STEPS = 5
"""Steps from the foot of an image to its top."""


class KnownImage(NamedTuple):
    """The things of an image.

    Attributes:
        boxes: of each thing.
        labels: class of each.
    """

    boxes: Float[Tensor, "n 4"]
    labels: Int[Tensor, " n"]


class Targets(NamedTuple):
    """The answers for m images.

    Attributes:
        presence: whether a thing of each class is in the image.
        localisation: whether a thing of each class is in each cell, row by row.
        number: of things, up to :data:`MOST`.
        free: whole steps from the foot upwards until the first thing in each column, up to :data:`STEPS`.
    """

    presence: Bool[Tensor, "m k"]
    localisation: Bool[Tensor, "m cells k"]
    number: Int[Tensor, " m"]
    free: Int[Tensor, "m columns"]


def targets_of(images: Sequence[KnownImage], classes: int, side: int) -> Targets:
    """The answers for some images.

    Args:
        images: with what is known of them.
        classes: their number.
        side: rows and columns of the grid.
    """
    places = torch.zeros(len(images), side * side, classes, dtype=torch.bool)
    presence = torch.zeros(len(images), classes, dtype=torch.bool)
    for i, (boxes, labels) in enumerate(images):
        presence[i, labels] = True
        for cells, label in zip(_cells(boxes, side), labels.tolist(), strict=True):
            places[i, :, label] |= cells.flatten()
    number = torch.tensor([min(len(image.labels), MOST) for image in images], dtype=torch.long)
    free = torch.tensor([_free(image.boxes, side) for image in images], dtype=torch.long).reshape(-1, side)
    return Targets(presence, places, number, free)


def _cells(boxes: Float[Tensor, "n 4"], side: int) -> Bool[Tensor, "n side side"]:
    """The cells that each box counts as being in: at least the one that it shares most with."""
    edges = torch.arange(side + 1, dtype=boxes.dtype) / side
    across, down = (
        (torch.minimum(boxes[:, axis + 2, None], edges[1:]) - torch.maximum(boxes[:, axis, None], edges[:-1])).clamp(0)
        for axis in (0, 1)
    )
    shared = down[:, :, None] * across[:, None, :]
    areas = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))[:, None, None]
    most = shared.flatten(1).amax(1)[:, None, None]
    held = torch.maximum(shared / areas.clamp(min=torch.finfo(boxes.dtype).tiny), shared * side * side)
    return (shared > 0) & ((held >= PART - 1e-4) | (shared >= most))  # a quarter is one whatever the rounding


def _free(boxes: Float[Tensor, "n 4"], side: int) -> list[int]:
    """Whole steps that are free in each column."""
    found = []
    for column in range(side):
        ahead = boxes[(boxes[:, 0] < (column + 1) / side) & (boxes[:, 2] > column / side), 3]
        length = 1.0 - float(ahead.max()) if len(ahead) else 1.0
        found.append(min(int(length * STEPS + 1e-6), STEPS))
    return found
