"""Segments: pixels of one class in an image, all of them or one thing at a time.

Convention: two pixels are connected where they share an edge, so that a connected segment has one outline. Segments of
an image never overlap.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Int32, Integer
from pycocotools import mask as coco

from densevl.core.errors import UsageError
from densevl.core.geometry import Size
from densevl.core.label_runs import LabelRuns
from densevl.core.masks import Rle, connected_parts, decode_masks

__all__ = ["MIN_AREA", "Segment", "class_segments", "connected_segments", "labels_of", "segments_of_masks"]

MIN_AREA = 64
"""Least area of a connected segment in pixels, 8×8: smaller ones are specks along the edges of classes."""

_LEAST_SHARE = 0.5
"""Least fraction of a mask that its most frequent class covers; other masks show no thing of one class."""


@dataclass(frozen=True)
class Segment:
    """Pixels of one class.

    Attributes:
        label: of their class.
        mask: the pixels, as a run-length code.
        score: mean probability of the class over the pixels; None where it is not known.
        parts: mean probability over each connected part of the pixels, in the order of the first pixels of the parts,
            row by row; None where it is not known.
    """

    label: int
    mask: Rle
    score: float | None = None
    parts: tuple[float, ...] | None = None

    @property
    def size(self) -> Size:
        """(height, width) of the image."""
        return self.mask["size"][0], self.mask["size"][1]

    @property
    def area(self) -> int:
        """Number of the pixels."""
        return int(coco.area(self.mask))

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x, y, width and height of the smallest box round the pixels, as COCO counts."""
        x, y, width, height = (int(value) for value in coco.toBbox(self.mask))
        return x, y, width, height

    def pixels(self) -> Bool[np.ndarray, "H W"]:
        """The mask, decoded."""
        mask: np.ndarray = decode_masks([self.mask], self.size)[0].numpy()
        return mask

    def crop(self) -> tuple[Bool[np.ndarray, "h w"], int, int]:
        """The mask within its box, and x and y of the box."""
        x, y, width, height = self.box
        return self.pixels()[y : y + height, x : x + width], x, y


def class_segments(
    labels: Integer[np.ndarray, "H W"], best: Float[np.ndarray, "H W"] | None = None
) -> tuple[Segment, ...]:
    """One segment for each class in a label map, the largest first; unlabelled pixels (-1) are in none.

    Args:
        labels: class of each pixel.
        best: probability of the class of each pixel, of which scores are made.
    """
    runs = LabelRuns.of(labels)
    own = runs.labels >= 0
    areas = np.bincount(runs.labels[own], weights=runs.lengths[own]).astype(np.int64)
    scores = None if best is None else _Scores.of(runs, best)
    return tuple(
        Segment(label, runs.codes[label], *(() if scores is None else scores.of_class(label)))
        for label in np.argsort(-areas, kind="stable")[: np.count_nonzero(areas)].tolist()
    )


def connected_segments(segments: Sequence[Segment], min_area: int = MIN_AREA) -> tuple[Segment, ...]:
    """The connected parts of segments, each a segment of its own.

    Args:
        segments: of the classes of an image.
        min_area: parts with fewer pixels are left out.
    """
    found = []
    for segment in segments:
        inside, x, y = segment.crop()
        numbers, count = connected_parts(inside)
        areas = np.bincount(numbers.ravel(), minlength=count + 1)
        for number in (np.flatnonzero(areas[1:] >= min_area) + 1).tolist():
            score = segment.score if segment.parts is None else segment.parts[number - 1]
            found.append(Segment(segment.label, _placed_code(numbers == number, x, y, segment.size), score))
    return tuple(found)


def segments_of_masks(
    labels: Integer[np.ndarray, "H W"],
    masks: Bool[np.ndarray, "n _ _"],
    best: Float[np.ndarray, "H W"] | None = None,
) -> tuple[tuple[Segment, ...], tuple[Segment, ...]]:
    """Things that a mask maker saw, each with the class that most of its pixels have in a label map.

    A mask takes the pixels of its class that no mask before it took. It is passed over where no class covers half of
    it.

    Args:
        labels: class of each pixel, -1 where there is none.
        masks: of the same image, the best first; they may overlap.
        best: probability of the class of each pixel, of which scores are made.

    Returns:
        The things in the order of their masks, and the pixels that no mask took, one segment for each class.

    Raises:
        UsageError: where the masks have another size than the labels.
    """
    if masks.shape[1:] != labels.shape:
        raise UsageError(f"the masks have size {masks.shape[1:]}; expected that of the labels, {labels.shape}")
    free, things = labels.copy(), []
    for mask in masks:
        covered = labels[mask & (labels >= 0)]
        if not covered.size:
            continue
        counts = np.bincount(covered.astype(np.int64))
        label = int(counts.argmax())
        taken = mask & (free == label)
        if counts[label] >= _LEAST_SHARE * mask.sum() and taken.any():
            things.append(Segment(label, _code(taken), None if best is None else _mean(best[taken])))
            free[taken] = -1
    return tuple(things), class_segments(free, best)


def labels_of(segments: Sequence[Segment], size: Size) -> Int32[np.ndarray, "H W"]:
    """The label map that segments make, -1 where there is none.

    Args:
        segments: of one image.
        size: (height, width) of the image.

    Raises:
        UsageError: where a segment is of another size.
    """
    labels = np.full(size, -1, np.int32)
    for segment in segments:
        if segment.size != tuple(size):
            raise UsageError(f"a segment has size {segment.size}; expected that of the image, {tuple(size)}")
        labels[segment.pixels()] = segment.label
    return labels


class _Scores(NamedTuple):
    """Sums of probabilities over the connected parts of a label map, in the order of their first pixels."""

    labels: Int[np.ndarray, " n"]
    sums: Float64[np.ndarray, " n"]
    areas: Int[np.ndarray, " n"]

    @classmethod
    def of(cls, runs: LabelRuns, best: Float[np.ndarray, "H W"]) -> "_Scores":
        parts = runs.parts
        labels = np.empty(int(parts.max()) + 1, np.int64)
        labels[parts] = runs.labels
        areas = np.bincount(parts, weights=runs.lengths).astype(np.int64)
        return cls(labels, np.bincount(parts, weights=runs.sums(best)), areas)

    def of_class(self, label: int) -> tuple[float, tuple[float, ...]]:
        """The mean over a class, and over each of its parts."""
        own = self.labels == label
        sums, areas = self.sums[own], self.areas[own]
        return round(float(sums.sum() / areas.sum()), 6), tuple(np.round(sums / areas, 6).tolist())


def _mean(values: Float[np.ndarray, " n"]) -> float:
    return round(float(values.mean(dtype=np.float64)), 6)


def _code(mask: Bool[np.ndarray, "H W"]) -> Rle:
    return _placed_code(mask, 0, 0, mask.shape)  # type: ignore[arg-type]


def _placed_code(crop: Bool[np.ndarray, "h w"], x: int, y: int, size: Size) -> Rle:
    """The code of a mask of a whole image that is True only in a crop, whose corner lies at (x, y)."""
    height, width = size
    strip = np.zeros((crop.shape[1], height), bool)  # column by column, as the code runs
    strip[:, y : y + crop.shape[0]] = crop.T
    changes = np.flatnonzero(np.diff(strip.ravel(), prepend=False, append=False)) + x * height
    ends = changes if changes.size and changes[-1] == height * width else np.append(changes, height * width)
    runs = np.diff(ends, prepend=0)
    code = coco.frPyObjects({"size": [height, width], "counts": runs.tolist()}, height, width)
    return {"size": [height, width], "counts": code["counts"].decode("ascii")}
