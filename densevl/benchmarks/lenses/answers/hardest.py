"""The images that a model answers worst."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from densevl.benchmarks.lenses.answers.contracts import Section
from densevl.benchmarks.lenses.answers.figures import Figure, figure_of
from densevl.core.errors import UsageError

__all__ = ["Hardest"]


@dataclass(frozen=True)
class Hardest:
    """The images with the lowest figure of their own (:func:`figure_of`), the lowest first.

    Args:
        count: number of images, at least 1.
    """

    count: int = 10

    name = "hardest"

    def __post_init__(self) -> None:
        if self.count < 1:
            raise UsageError(f"the lens 'hardest' shows at least 1 image; got count={self.count}")

    def measure(self, sample: Mapping[str, Any]) -> Figure:
        """The figure of an image.

        Raises:
            UsageError: where the task is another one.
        """
        return figure_of(sample, self.name)

    def section(self, found: Sequence[Figure], facts: Mapping[str, Any]) -> Section:
        """The images with the lowest figures; those with the same figure in the order of the data set."""
        scored = [(path, value) for path, _, value in found if value is not None]
        images, figure = sorted(scored, key=lambda entry: entry[1])[: self.count], found[0].name
        mean = fmean(value for _, value in scored) if scored else None
        values = {"figure": figure, "scored": len(scored), "mean": mean}
        head = f"{len(images)} of {len(scored)} images by {figure}" + ("" if mean is None else f", mean {mean:.2f}")
        return Section(
            {**values, "images": [{"image": path, "value": value} for path, value in images]},
            [head, *(f"{value:6.2f}  {path}" for path, value in images)],
        )
