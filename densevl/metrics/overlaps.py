"""How far one answer is from the truth: overlaps of boxes and masks.

Convention: boxes are xyxy pixels, half-open, and their areas are (x1 - x0) · (y1 - y0); some codes count a pixel more
along each side, which moves a box at the threshold now and then. Masks are compared at the image's own size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from densevl.core.masks import decode_masks
from densevl.datasets.referring.annotations import Reference

__all__ = ["DEEPEST", "Answer", "Outcome", "box_ious", "mask_overlap", "measure"]

DEEPEST = 10
"""Ranks that are kept of each answer."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What a model says to one expression.

    Attributes:
        boxes: of all regions that it chose from, the likeliest first; none where it could not answer.
        mask: of the likeliest region; None where it has no masks.
        reason: why it could not answer.
    """

    boxes: Float[np.ndarray, "n 4"]
    mask: Bool[np.ndarray, "H W"] | None = None
    reason: str = ""


@dataclass(frozen=True)
class Outcome:
    """What the metric keeps of one expression: a few numbers.

    Attributes:
        kind: group of the expression; empty for none.
        ranked: overlap of the first boxes with the true one, the likeliest first.
        best: largest overlap of any box.
        proposals: number of boxes.
        above: share of the boxes whose overlap is above 0.5.
        at_least: share of those whose overlap is 0.5 or more.
        overlap: pixels of intersection and union of the masks; None where one is not known.
        reason: why there was no answer; empty where there was.
    """

    kind: str
    ranked: tuple[float, ...]
    best: float
    proposals: int
    above: float
    at_least: float
    overlap: tuple[int, int] | None
    reason: str = ""


def box_ious(boxes: Any, target: Sequence[int | float]) -> Float[np.ndarray, " n"]:
    """Intersection over union of boxes "n 4" with one box, in double precision."""
    found, true = np.asarray(boxes, np.float64).reshape(-1, 4), np.asarray(target, np.float64)
    sides = np.minimum(found[:, 2:], true[2:]) - np.maximum(found[:, :2], true[:2])
    shared = sides.clip(min=0).prod(1)
    areas = (found[:, 2:] - found[:, :2]).prod(1) + (true[2:] - true[:2]).prod()
    return shared / (areas - shared)


def mask_overlap(mask: Bool[np.ndarray, "H W"], true: Bool[np.ndarray, "H W"]) -> tuple[int, int]:
    """Pixels of the intersection and of the union."""
    return int((mask & true).sum()), int((mask | true).sum())


def measure(answer: Answer, ref: Reference, masks: bool) -> Outcome:
    """Compare an answer with the truth.

    Args:
        answer: what the model says.
        ref: the object that is meant.
        masks: whether the model gives masks; one that then gives none for an expression overlaps with nothing.
    """
    ious = box_ious(answer.boxes, ref.box)
    overlap = None
    if masks and ref.mask is not None:
        height, width = ref.mask["size"]
        true = decode_masks([ref.mask], (height, width))[0].numpy()
        overlap = mask_overlap(np.zeros_like(true) if answer.mask is None else answer.mask, true)
    count = len(ious)
    return Outcome(
        kind=ref.kind,
        ranked=tuple(ious[:DEEPEST].tolist()),
        best=float(ious.max()) if count else 0.0,
        proposals=count,
        above=float((ious > 0.5).mean()) if count else 0.0,
        at_least=float((ious >= 0.5).mean()) if count else 0.0,
        overlap=overlap,
        reason=answer.reason,
    )
