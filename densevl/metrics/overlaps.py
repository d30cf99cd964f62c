"""Overlaps of one answer with the truth, of boxes and of masks.

Convention: boxes are xyxy pixels, half-open, and their areas are (x1 - x0) · (y1 - y0); some codes count a pixel more
along each side, which moves a box at the threshold now and then. Masks are compared at the image's own size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from densevl.core.geometry import box_ious

__all__ = ["DEEPEST", "Answer", "Outcome", "mask_overlap", "measure"]

DEEPEST = 10
"""Ranks that are kept of each answer."""


@dataclass(frozen=True, eq=False)
class Answer:
    """An answer of a model to one expression.

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
    """A few numbers of one expression, which is all that the metric keeps.

    Attributes:
        kind: group of the expression; empty for none.
        ranked: overlap of the first boxes with the true one, the likeliest first.
        best: largest overlap of any box.
        proposals: number of boxes.
        above: fraction of the boxes whose overlap is above 0.5.
        at_least: fraction of the boxes whose overlap is 0.5 or more.
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


def mask_overlap(mask: Bool[np.ndarray, "H W"], true: Bool[np.ndarray, "H W"]) -> tuple[int, int]:
    """Pixels of the intersection and of the union."""
    return int((mask & true).sum()), int((mask | true).sum())


def measure(
    answer: Answer, box: Sequence[int | float], mask: Bool[np.ndarray, "H W"] | None = None, kind: str = ""
) -> Outcome:
    """Compare an answer with the truth.

    Args:
        answer: what the model says.
        box: of the object that is meant.
        mask: of that object; None where it is not known or the model gives no masks. An answer without a mask overlaps
            with no pixel of it.
        kind: group of the expression; empty for none.
    """
    ious = box_ious(answer.boxes, box)
    overlap = None
    if mask is not None:
        overlap = mask_overlap(np.zeros_like(mask) if answer.mask is None else answer.mask, mask)
    count = len(ious)
    return Outcome(
        kind=kind,
        ranked=tuple(ious[:DEEPEST].tolist()),
        best=float(ious.max()) if count else 0.0,
        proposals=count,
        above=float((ious > 0.5).mean()) if count else 0.0,
        at_least=float((ious >= 0.5).mean()) if count else 0.0,
        overlap=overlap,
        reason=answer.reason,
    )
