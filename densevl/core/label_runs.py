"""Runs of equal labels down the columns of a label map: what run-length codes and connected parts are made of.

A label map has a few thousand runs in the place of a few hundred thousand pixels, and one pass over the pixels finds
those of all classes.
"""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from jaxtyping import Float, Float64, Int, Integer

from densevl.core.geometry import Size
from densevl.core.masks import Rle, letters_of_runs

__all__ = ["LabelRuns"]

_NONE = 255
"""A label of eight bits that stands for none."""


@dataclass(frozen=True, eq=False)
class LabelRuns:
    """The runs of a label map, column after column and downwards; none goes on in the next column.

    Two pixels are connected where they share an edge.

    Attributes:
        size: (height, width) of the label map.
        labels: of each run.
        starts: place of the first pixel of each run, ``column * height + row``.
    """

    size: Size
    labels: Integer[np.ndarray, " n"]
    starts: Int[np.ndarray, " n"]

    @classmethod
    def of(cls, labels: Integer[np.ndarray, "H W"]) -> "LabelRuns":
        """The runs of a label map."""
        narrow = labels.min() >= -1 and labels.max() < _NONE
        columns = _transposed(labels.astype(np.uint8 if narrow else np.int32, copy=False))  # -1 becomes 255
        begins = np.ones(columns.shape, bool)
        np.not_equal(columns[:, 1:], columns[:, :-1], out=begins[:, 1:])
        starts = np.flatnonzero(begins)
        own = columns.ravel()[starts].astype(np.int32)
        if narrow:
            own[own == _NONE] = -1
        return cls((labels.shape[0], labels.shape[1]), own, starts)

    @cached_property
    def lengths(self) -> Int[np.ndarray, " n"]:
        """Pixels of each run."""
        return np.diff(self.starts, append=self.size[0] * self.size[1])

    def sums(self, values: Float[np.ndarray, "H W"]) -> Float64[np.ndarray, " n"]:
        """The sum of values over each run."""
        return np.add.reduceat(_transposed(values).ravel(), self.starts, dtype=np.float64)

    @cached_property
    def codes(self) -> dict[int, Rle]:
        """The run-length code of the pixels of each label, in the order of the labels; those of all in one pass."""
        order = np.argsort(self.labels, kind="stable")
        labels, starts = self.labels[order], self.starts[order]
        ends = starts + self.lengths[order]
        # From the end of a column to the start of the next one a code runs on.
        apart = (labels[1:] != labels[:-1]) | (starts[1:] != ends[:-1])
        firsts, lasts = np.append(True, apart), np.append(apart, True)
        bounds = np.stack([starts[firsts], ends[lasts]], 1)
        members, places = np.unique(labels[firsts], return_index=True)
        pixels = self.size[0] * self.size[1]
        runs = [_counts(own.ravel(), pixels) for own in np.split(bounds, places[1:])]
        return {
            label: {"size": list(self.size), "counts": counts}
            for label, counts in zip(members.tolist(), letters_of_runs(runs), strict=True)
        }

    @cached_property
    def parts(self) -> Int[np.ndarray, " n"]:
        """The number of the connected part of each run, from 0, in the order of their first pixels, row by row."""
        height = self.size[0]
        right = self.starts + height  # the pixel to the right of the first one of a run, and that to its left
        left = self.starts - height
        inside, behind = np.flatnonzero(right < height * self.size[1]), np.flatnonzero(left >= 0)
        # Two runs of neighbouring columns meet where the first pixel of one of them lies beside the other.
        one = np.concatenate([inside, behind])
        other = np.searchsorted(self.starts, np.concatenate([right[inside], left[behind]]), side="right") - 1
        equal = self.labels[one] == self.labels[other]
        roots = _roots(len(self.starts), one[equal], other[equal])
        columns, rows = np.divmod(self.starts, height)
        firsts = np.full(len(roots), height * self.size[1])
        np.minimum.at(firsts, roots, rows * self.size[1] + columns)
        order = np.argsort(firsts, kind="stable")  # what is no root comes last
        numbers = np.empty_like(order)
        numbers[order] = np.arange(len(order))
        return numbers[roots]


def _counts(bounds: Int[np.ndarray, " n"], pixels: int) -> Int[np.ndarray, " _"]:
    """Lengths of runs, the first outside, of the places at which pixels begin and end to lie inside."""
    return np.diff(bounds, prepend=0) if bounds[-1] == pixels else np.diff(bounds, prepend=0, append=pixels)


def _transposed(values: np.ndarray) -> np.ndarray:
    """The columns of values as rows, in new memory."""
    known = values.dtype in (np.uint8, np.int32, np.float32)
    return cv2.transpose(values) if known else np.ascontiguousarray(values.T)


def _roots(count: int, one: Int[np.ndarray, " m"], other: Int[np.ndarray, " m"]) -> Int[np.ndarray, " n"]:
    """The least member of the group of each of some things, of which pairs are known to belong together."""
    roots = np.arange(count)
    while True:
        least = np.minimum(roots[one], roots[other])
        joined = roots.copy()
        np.minimum.at(joined, roots[one], least)
        np.minimum.at(joined, roots[other], least)
        while not np.array_equal(further := joined[joined], joined):
            joined = further
        if np.array_equal(joined, roots):
            return roots
        roots = joined
