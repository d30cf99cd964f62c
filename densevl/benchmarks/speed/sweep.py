"""Time by the number of classes and of pixels, and its chart."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from densevl.benchmarks.speed.runs import benchmark
from densevl.benchmarks.speed.stages import Report
from densevl.core.drawing.chart import draw_chart
from densevl.core.drawing.overlay import write_image
from densevl.core.geometry import Size

__all__ = ["Sweep", "benchmark_sweep"]

CLASSES = 19, 150, 847
SIZES = (256, 342), (512, 683), (1024, 1366)
"""Numbers of classes of Cityscapes, of ADE20K and of its full list, and (height, width) of images."""


@dataclass(frozen=True)
class Sweep:
    """Reports of a model by number of classes, and by size of the image."""

    by_classes: dict[int, Report]
    by_size: dict[Size, Report]

    def __str__(self) -> str:
        return "\n\n".join(map(str, [*self.by_classes.values(), *self.by_size.values()]))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Draw seconds an image against classes and against pixels, side by side.

        Raises:
            OutputError: where the file cannot be written.
        """
        pixels = {height * width / 1e6: f"{height}×{width}" for height, width in self.by_size}
        by_pixels = dict(zip(pixels, self.by_size.values(), strict=True))
        fixed = next(iter(self.by_size.values())).setting["classes"]
        size = next(iter(self.by_classes.values())).setting["size"]
        left = draw_chart(_lines(self.by_classes), f"{size} pixels", "classes", "seconds an image")
        right = draw_chart(_lines(by_pixels), f"{fixed} classes", "size of the image", "seconds an image", pixels)
        write_image(path, np.hstack([left, right]))


def _lines(reports: Mapping[Any, Report]) -> dict[str, list[tuple[int | float, float]]]:
    names = next(iter(reports.values())).figures
    return {name: [(x, sum(r.figures[name].seconds.values())) for x, r in reports.items()] for name in names}


def benchmark_sweep(
    config: str,
    weights: str | None = None,
    classes: Sequence[int] = CLASSES,
    sizes: Sequence[Size] = SIZES,
    **options: Any,
) -> Sweep:
    """Measure what classes cost, at the middle size, and what pixels cost, at the middle number of classes.

    Args:
        config: a model's name, or a config file.
        weights: of the encoder: a name, a file, or ``"rule"`` for seeded random ones.
        classes: numbers of classes.
        sizes: (height, width) of the images.
        options: further arguments of :func:`densevl.benchmarks.speed.benchmark`.
    """
    middle = classes[len(classes) // 2], sizes[len(sizes) // 2]
    reports = {
        (count, size): benchmark(config, weights, classes=count, size=size, **options)
        for count, size in dict.fromkeys([*((c, middle[1]) for c in classes), *((middle[0], s) for s in sizes)])
    }
    return Sweep({c: reports[c, middle[1]] for c in classes}, {s: reports[middle[0], s] for s in sizes})
