"""Scores from one confusion matrix of all pixels.

A matrix of integers is exact however many pixels there are, is summed over images and processes, and holds everything
that the usual scores need. mmsegmentation keeps four float32 histograms an image instead; the scores agree.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from densevl.core.labelmap import IGNORED
from densevl.metrics.table import or_none, percent

__all__ = ["Scores", "confusion_matrix", "scores_of"]


def confusion_matrix(
    truth: Int[Tensor, "*size"], labels: Int[Tensor, "*size"], classes: int, ignored: int = IGNORED
) -> Int64[Tensor, "{classes} {classes}"]:
    """Count pixels by their true class (rows) and the class that they were given (columns).

    Args:
        truth: true classes in ``[0, classes)``, or ``ignored``.
        labels: given classes in ``[0, classes)``.
        classes: number of classes.
        ignored: true label of the pixels that are left out.
    """
    counted = truth != ignored
    pairs = truth[counted].long() * classes + labels[counted].long()
    return torch.bincount(pairs, minlength=classes * classes).view(classes, classes)


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of each class, in percent; nan where a class has no pixel to score.

    Attributes:
        names: of the classes.
        iou: intersection over union; nan where a class occurs neither in truth nor in labels.
        accuracy: fraction of a class's true pixels that were given to it; nan where it has none.
        pixel_accuracy: fraction of all pixels that were given their true class.
        pixels: true pixels of each class.
        groups: indices of the classes of each named group.
    """

    names: tuple[str, ...]
    iou: Float[Tensor, " k"]
    accuracy: Float[Tensor, " k"]
    pixel_accuracy: float
    pixels: Int64[Tensor, " k"]
    groups: Mapping[str, Sequence[int]]

    @property
    def mean_iou(self) -> float:
        """Mean over the classes that occur."""
        return self.iou.nanmean().item()

    @property
    def mean_accuracy(self) -> float:
        """Mean over the classes that have true pixels."""
        return self.accuracy.nanmean().item()

    @property
    def absent(self) -> tuple[str, ...]:
        """Classes without a score: in neither truth nor labels."""
        return tuple(name for name, missing in zip(self.names, self.iou.isnan().tolist(), strict=True) if missing)

    def group_iou(self) -> dict[str, float]:
        """Mean intersection over union of each group."""
        return {name: self.iou[list(indices)].nanmean().item() for name, indices in self.groups.items()}

    def as_dict(self) -> dict[str, Any]:
        """Values for a JSON file, full precision, None for nan."""
        rows = zip(self.names, self.iou.tolist(), self.accuracy.tolist(), self.pixels.tolist(), strict=True)
        return {
            "mIoU": or_none(self.mean_iou),
            "mAcc": or_none(self.mean_accuracy),
            "aAcc": or_none(self.pixel_accuracy),
            "groups": {name: or_none(value) for name, value in self.group_iou().items()},
            "absent": list(self.absent),
            "classes": [{"name": n, "IoU": or_none(i), "Acc": or_none(a), "pixels": p} for n, i, a, p in rows],
        }

    def lines(self) -> list[str]:
        """IoU, accuracy and fraction of the true pixels of each class (a dash where it does not occur), then means."""
        width, total = max(5, *map(len, self.names)), max(1, int(self.pixels.sum()))
        rows = zip(self.names, self.iou.tolist(), self.accuracy.tolist(), self.pixels.tolist(), strict=True)
        over = f"over {len(self.names) - len(self.absent)} classes"
        over += f", {len(self.absent)} of {len(self.names)} never occur" if self.absent else ""
        means = f"mIoU {self.mean_iou:.2f}  mAcc {self.mean_accuracy:.2f}  aAcc {self.pixel_accuracy:.2f}"
        return [
            f"{'class':<{width}}    IoU    Acc  pixels",
            *(f"{n:<{width}}  {percent(i)}  {percent(a)}  {p / total:6.2%}" for n, i, a, p in rows),
            "",
            *(f"mIoU of {name}: {value:.2f}" for name, value in self.group_iou().items()),
            f"{means}  ({over})",
        ]


def scores_of(
    matrix: Int64[Tensor, "k k"], names: Sequence[str], groups: Mapping[str, Sequence[int]] | None = None
) -> Scores:
    """Scores of a confusion matrix.

    Args:
        matrix: as :func:`confusion_matrix` counts it.
        names: of the classes.
        groups: indices of the classes of named groups.
    """
    matrix = matrix.cpu()
    right = matrix.diagonal().double()
    true, given = matrix.sum(1).double(), matrix.sum(0).double()
    return Scores(
        names=tuple(names),
        iou=100 * right / (true + given - right),
        accuracy=100 * right / true,
        pixel_accuracy=(100 * right.sum() / true.sum()).item(),
        pixels=matrix.sum(1),
        groups=dict(groups or {}),
    )
