"""Time and memory of labelling one image, measured on this machine."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from densevl.api.model import Model
from densevl.benchmarks.speed.cost import measure
from densevl.benchmarks.speed.flops import some_texts
from densevl.core.geometry import Size
from densevl.datasets.scenes import render

__all__ = ["Used", "measure_used"]


@dataclass(frozen=True)
class Used:
    """What labelling an image takes.

    Attributes:
        device: where it was done.
        repetitions: number of measured runs.
        seconds: median by the clock.
        processor: median of processor time, which other work on the machine does not change.
        peak: largest bytes in use, weights included: of this process, or of the GPU; nan where the system does not
            tell.
    """

    device: str
    repetitions: int
    seconds: float
    processor: float
    peak: float

    def __str__(self) -> str:
        """Two lines below those of :class:`densevl.benchmarks.speed.flops.Flops`."""
        where = f"{self.device}, median of {self.repetitions}"
        return (
            f"time        {self.seconds:.2f} s by the clock, {self.processor:.2f} s of the processor ({where})\n"
            f"memory      {self.peak / 1e9:.2f} GB at the peak, weights included"
        )


def measure_used(model: Model, size: Size, classes: int, repetitions: int) -> Used:
    """Label a drawn scene again and again, its classes embedded before.

    Args:
        model: with a segmentor.
        size: (height, width) of the image.
        classes: number of classes.
        repetitions: measured runs; one before them is not counted.

    Raises:
        UsageError: where the model makes no label maps.
    """
    segmentor = model.segmentor
    texts = some_texts(segmentor, classes)
    image = render(0, 0, size=size, split="val").image

    def label() -> None:
        (encoded,) = segmentor.encode([image], texts if segmentor.encodes_for_texts else None)
        segmentor.label(encoded, texts)

    spent: list[float] = []
    cost = measure({"label": _timed(label, spent)}, repetitions, segmentor.device)["label"]
    processor = sorted(spent[-repetitions:])[repetitions // 2]
    return Used(str(segmentor.device), repetitions, cost.median, processor, max(cost.peak))


def _timed(function: Callable[[], None], spent: list[float]) -> Callable[[], None]:
    """A function that also notes the processor time that it takes."""

    def timed() -> None:
        start = time.process_time()
        function()
        spent.append(time.process_time() - start)

    return timed
