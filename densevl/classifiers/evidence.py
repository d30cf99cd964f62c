"""What supports the answers of taught classes: the examples themselves, and how held-out ones were answered.

Sources: split conformal prediction as in :mod:`densevl.classifiers.conformal`; Bates et al., Testing for Outliers with
Conformal p-values, Annals of Statistics 2023, https://arxiv.org/abs/2104.08279. Where we differ: the held-out examples
are those of the folds, so that none is lost for learning; the promise then holds about, not exactly.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from densevl.classifiers.conformal import class_limits, conformal_sets, limit
from densevl.core.errors import UsageError

__all__ = ["SHARE", "Evidence", "Neighbour", "check_share"]

SHARE = 0.05
"""Of known things that may be called unknown, where nothing else is said."""


@dataclass(frozen=True)
class Neighbour:
    """An example that looks like a region.

    Attributes:
        label: its class.
        image: its file, as it was named.
        box: xyxy in pixels of the image.
        similarity: cosine with the region.
    """

    label: int
    image: str
    box: tuple[float, float, float, float]
    similarity: float


@dataclass(frozen=True, eq=False)
class Evidence:
    """Examples of k classes, and what was said of those of them that were held out.

    Attributes:
        vectors: unit vectors of the examples, in half precision.
        labels: class of each.
        boxes: xyxy of each in its image.
        places: index in ``images`` of the image of each.
        images: files, as they were named.
        scores: of held-out examples, 1 − the probability of the true class.
        truths: class of each of these.
        doubts: of examples by all images but their own, as of :class:`densevl.classifiers.unknown.Known`; there are
            none where each class was shown in one image alone.
    """

    vectors: Float[Tensor, "n d"]
    labels: Int[Tensor, " n"]
    boxes: Float[Tensor, "n 4"]
    places: Int[Tensor, " n"]
    images: tuple[str, ...]
    scores: Float[Tensor, " m"]
    truths: Int[Tensor, " m"]
    doubts: Float[Tensor, " l"]

    def __post_init__(self) -> None:
        lengths = {len(self.vectors), len(self.labels), len(self.boxes), len(self.places)}
        held, doubted = {len(self.scores), len(self.truths)}, len(self.doubts) <= len(self.scores)
        inside = not len(self.places) or 0 <= int(self.places.min()) <= int(self.places.max()) < len(self.images)
        if len(lengths) > 1 or len(held) > 1 or not doubted or not inside:
            raise UsageError("the examples behind the classes do not belong together")

    def __add__(self, later: "Evidence") -> "Evidence":
        """The evidence of both; the classes of the later one begin with those of this one."""
        tensors = {
            name: torch.cat([getattr(self, name), getattr(later, name)])
            for name in ("vectors", "labels", "boxes", "scores", "truths", "doubts")
        }
        places = torch.cat([self.places, later.places + len(self.images)])
        return Evidence(**tensors, places=places, images=self.images + later.images)

    def drifted(self, factor: float) -> "Evidence":
        """The same evidence with the doubts that many times as large."""
        return replace(self, doubts=factor * self.doubts)

    def check(self, classes: int, dim: int) -> None:
        """Refuse evidence of other classes or other vectors.

        Raises:
            UsageError: where a label is no class, or vectors have another length.
        """
        labels = torch.cat([self.labels, self.truths])
        if self.vectors.shape[1] != dim or (len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes):
            raise UsageError(f"the examples are not those of {classes} classes of vectors of {dim} numbers")

    def neighbours(self, vectors: Float[Tensor, "n d"], count: int = 3) -> list[list[Neighbour]]:
        """The examples that are most like each vector, the nearest first.

        Args:
            vectors: unit vectors.
            count: of the examples of each, fewer where there are fewer.
        """
        similar = vectors.float().cpu() @ self.vectors.float().mT
        values, rows = similar.topk(min(count, len(self.vectors)), dim=1)
        return [
            [self._neighbour(row, value) for row, value in zip(own, cosines, strict=True)]
            for own, cosines in zip(rows.tolist(), values.tolist(), strict=True)
        ]

    def _neighbour(self, row: int, value: float) -> Neighbour:
        x0, y0, x1, y1 = self.boxes[row].tolist()
        return Neighbour(int(self.labels[row]), self.images[int(self.places[row])], (x0, y0, x1, y1), value)

    def sets(
        self, probabilities: Float[Tensor, "n k"], coverage: int | float = 0.9, each: bool = False
    ) -> Bool[Tensor, "n k"]:
        """Sets of classes, which hold the true one of about the fraction of new examples that is asked for.

        Args:
            probabilities: of each class.
            coverage: the fraction, in (0, 1).
            each: keep the promise for each class by itself, which takes more examples and makes larger sets.

        Raises:
            UsageError: where the coverage is outside (0, 1), or too few examples were held out to promise it.
        """
        self._check(1 - coverage if 0 < coverage < 1 else 0.5, f"sets that hold {coverage:.0%}", len(self.scores))
        if each:
            return conformal_sets(
                probabilities, class_limits(self.scores, self.truths, probabilities.shape[1], coverage)
            )
        return conformal_sets(probabilities, limit(self.scores, coverage))

    def limit(self, share: int | float) -> float:
        """The doubt beyond which something counts as unknown.

        Args:
            share: of known things that may be called unknown, in (0, 0.5].

        Raises:
            UsageError: where the share is outside, or too few examples were held out for so small a one.
        """
        check_share(share)
        self._check(share, f"--unknown {share:g}", len(self.doubts))
        return limit(self.doubts, 1 - share)

    def p_values(self, doubts: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """The fraction of known things that look at least as doubtful; above 0, up to 1."""
        count = len(self.doubts)
        below = torch.searchsorted(self._ordered, doubts.float().cpu())
        return (1 + count - below).float() / (1 + count)

    @cached_property
    def _ordered(self) -> Float[Tensor, " m"]:
        return self.doubts.float().sort().values

    @staticmethod
    def _check(share: float, what: str, count: int) -> None:
        """Refuse a promise that so many held-out examples are too few for."""
        least = math.ceil(1 / share - 1e-9) - 1
        if count < least:
            raise UsageError(
                f"{what} needs {least} held-out examples, and there are {count}: teach with more examples, "
                "and with two images of each class at least"
            )


def check_share(share: int | float) -> None:
    """Refuse a share of known things that may be called unknown outside of (0, 0.5].

    Raises:
        UsageError: where it is outside.
    """
    if not 0 < share <= 0.5:
        raise UsageError(
            f"unknown: give the share of known things that may be called unknown, such as 0.05; got {share:g}"
        )
