"""The images that a model answers worst."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from densevl.benchmarks.lenses.contracts import Section
from densevl.core.errors import UsageError
from densevl.core.geometry import box_ious
from densevl.core.labelmap import IGNORED
from densevl.metrics.choices import choose

__all__ = ["Hardest"]

Measured = tuple[str, str, float | None]
"""The file of an image, the name of its figure, and the figure in percent; None where nothing can be scored."""


def _pixels(sample: Mapping[str, Any]) -> list[float]:
    labels, truth = sample["pred_sem_seg"]["data"], sample["gt_sem_seg"]["data"]
    right = (labels == truth.to(labels.device))[truth.to(labels.device) != IGNORED]
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


@dataclass(frozen=True)
class Hardest:
    """The images with the lowest figure of their own, the lowest first.

    Label maps: the fraction of the labelled pixels that got their class. Expressions: the mean IoU of the first boxes.
    Regions: the fraction that got its text.

    Args:
        count: number of images, at least 1.
    """

    count: int = 10

    name = "hardest"

    def __post_init__(self) -> None:
        if self.count < 1:
            raise UsageError(f"the lens 'hardest' shows at least 1 image; got count={self.count}")

    def measure(self, sample: Mapping[str, Any]) -> Measured:
        """The figure of an image.

        Raises:
            UsageError: where the task is another one.
        """
        for fields, (name, values_of) in FIGURES.items():
            if all(field in sample for field in fields):
                values = values_of(sample)
                return str(sample["img_path"]), name, 100 * fmean(values) if values else None
        raise UsageError("the lens 'hardest' has no figure for an image of this benchmark; leave it out")

    def section(self, found: Sequence[Measured], facts: Mapping[str, Any]) -> Section:
        """The images with the lowest figures; those with the same figure in the order of the data set."""
        scored = [(path, value) for path, _, value in found if value is not None]
        images, figure = sorted(scored, key=lambda entry: entry[1])[: self.count], found[0][1]
        mean = fmean(value for _, value in scored) if scored else None
        values = {"figure": figure, "scored": len(scored), "mean": mean}
        head = f"{len(images)} of {len(scored)} images by {figure}" + ("" if mean is None else f", mean {mean:.2f}")
        return Section(
            {**values, "images": [{"image": path, "value": value} for path, value in images]},
            [head, *(f"{value:6.2f}  {path}" for path, value in images)],
        )
