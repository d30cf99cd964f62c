"""Figures of single images, of every kind of benchmark."""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from densevl.core.errors import UsageError
from densevl.core.geometry import box_ious
from densevl.core.labelmap import IGNORED
from densevl.metrics.choices import choose

__all__ = ["Figure", "figure_of"]


class Figure(NamedTuple):
    """One figure of one image.

    Attributes:
        image: its file.
        name: of the figure.
        value: in percent; None where nothing can be scored.
    """

    image: str
    name: str
    value: float | None


def _pixels(sample: Mapping[str, Any]) -> list[float]:
    labels, truth = sample["pred_sem_seg"]["data"], sample["gt_sem_seg"]["data"]
    truth = truth.to(labels.device)
    right = (labels == truth)[truth != sample.get("ignored", IGNORED)]
    return [right.double().mean().item()] if len(right) else []


def _expressions(sample: Mapping[str, Any]) -> list[float]:
    boxes = [ref.box for ref in sample["refs"] for _ in ref.sentences]
    pairs = zip(sample["answers"], boxes, strict=True)
    return [float(box_ious(answer.boxes[:1], box).sum()) for answer, box in pairs]  # 0 where there is no answer


def _regions(sample: Mapping[str, Any]) -> list[bool]:
    return [answer.right for answer in sample["answers"]]


def _retrieved(sample: Mapping[str, Any]) -> list[bool]:
    return [answer.right for answer in choose(sample["cosines"], [region.truth for region in sample["regions"]])]


FIGURES: dict[tuple[str, ...], tuple[str, Callable[[Mapping[str, Any]], Sequence[float]]]] = {
    ("pred_sem_seg", "gt_sem_seg"): ("pixel accuracy", _pixels),
    ("answers", "refs"): ("IoU of the first box", _expressions),
    ("answers", "regions"): ("region accuracy", _regions),
    ("cosines", "regions"): ("region accuracy", _retrieved),
}
"""Figures by the fields of the samples that they are computed from: name, and values in [0, 1] whose mean counts."""


def figure_of(sample: Mapping[str, Any], lens: str) -> Figure:
    """The figure of an answered sample.

    Label maps: the fraction of the labelled pixels that got their class. Expressions: the mean IoU of the first boxes.
    Regions: the fraction that got its text.

    Args:
        sample: as the metric of the task gets it.
        lens: the name of the lens that asks, for the error.

    Raises:
        UsageError: where the task is another one.
    """
    for fields, (name, values_of) in FIGURES.items():
        if all(field in sample for field in fields):
            values = values_of(sample)
            return Figure(str(sample["img_path"]), name, 100 * fmean(values) if values else None)
    raise UsageError(f"the lens {lens!r} has no figure for an image of this benchmark; leave it out")
