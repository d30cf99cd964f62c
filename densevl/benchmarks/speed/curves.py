"""Cost curves: time and memory against the number of classes, templates, regions and pixels, and what limits each."""

from collections.abc import Callable, Sequence
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from densevl.api.loading import load
from densevl.api.model import Model
from densevl.benchmarks.speed.fresh import MEMORY, run_fresh
from densevl.benchmarks.speed.runs import some_classes
from densevl.core.errors import UsageError, suggestion
from densevl.core.geometry import Size
from densevl.datasets.scenes import render
from densevl.metrics.table import Table

__all__ = ["CURVES", "Curve", "benchmark_curves", "prepare"]

SIZE, CLASSES, TILE = (512, 683), 150, 1024
"""What is not varied: pixels of the image, number of classes, side of a tile."""

RUN = """
import json, sys, time
{memory}
from densevl.benchmarks.speed.curves import prepare
work = prepare(sys.argv[1], int(sys.argv[2]), sys.argv[3])
before, clock, start = memory("VmRSS"), time.perf_counter(), time.process_time()
work()
print(json.dumps([time.perf_counter() - clock, time.process_time() - start, before, memory("VmHWM")]))
"""


class Curve(NamedTuple):
    """Something whose number costs.

    Attributes:
        of: what is counted.
        values: the numbers.
        limit: what limits it, in a sentence.
        prepare: makes, of a model and a number, the work that is measured.
    """

    of: str
    values: tuple[int, ...]
    limit: str
    prepare: Callable[[Model, int], Callable[[], object]]


def benchmark_curves(curves: Sequence[str] | None = None, models: Sequence[str] = ("dinoiser",)) -> Table:
    """Measure curves, each point in a process of its own; loading and what comes before is not counted.

    Args:
        curves: names of :data:`CURVES`; None for all.
        models: their names; with random weights of their real size where they are no mini models.

    Returns:
        A row for each point.

    Raises:
        UsageError: where a curve is unknown.
    """
    for name in curves or ():
        if name not in CURVES:
            raise UsageError(f"unknown curve {name!r}; {suggestion(name, CURVES)}")
    rows = []
    with TemporaryDirectory() as cache:  # so that no text is embedded already
        for model in models:
            for name in curves or CURVES:
                for value in CURVES[name].values:
                    place = {"DENSEVL_CACHE": f"{cache}/{model}-{name}-{value}"}
                    _, found = run_fresh(RUN.format(memory=MEMORY), [name, str(value), model], place)
                    clock, processor, before, peak = found
                    figures = (f"{clock:.2f}", f"{processor:.2f}", f"{before:.0f}", f"{peak:.0f}")
                    rows.append((f"{model}: {CURVES[name].of}", (f"{value:,}", *figures)))
    limits = "; ".join(f"{CURVES[name].of}: {CURVES[name].limit}" for name in curves or CURVES)
    head = ("", "number", "s", "processor, s", "MiB before", "MiB at the peak")
    return Table(head, rows, f"one run each, in a fresh process. What limits: {limits}")


def prepare(name: str, value: int, model: str) -> Callable[[], object]:
    """The work of a point of a curve.

    Args:
        name: of the curve.
        value: the number.
        model: its name.
    """
    weights: dict[str, Any] = {} if model.startswith("mini") else {"weights": "random:0"}
    return CURVES[name].prepare(load(model, templates="none", **weights), value)


def _image(size: Size) -> np.ndarray:
    """A scene; a large one is made of equal ones side by side."""
    scene = render(0, 0, (min(size[0], 512), min(size[1], 683)), count=(4, 10)).image
    times = [-(-side // part) for side, part in zip(size, scene.shape, strict=False)]
    return np.ascontiguousarray(np.tile(scene, (*times, 1))[: size[0], : size[1]])


def _texts(model: Model, count: int) -> Callable[[], object]:
    return lambda: model.embed_classes(some_classes(count))


def _templates(model: Model, count: int) -> Callable[[], object]:
    names, templates = list(some_classes(CLASSES).names), [f"photo {number} of a {{}}." for number in range(count)]
    return lambda: model.segmentor.encoder.embed_texts(names, templates)


def _labels(model: Model, count: int) -> Callable[[], object]:
    texts, encoded = model.embed_classes(some_classes(count)), model.encode(_image(SIZE))
    return lambda: model.segment(encoded, texts)


def _pixels(model: Model, side: int) -> Callable[[], object]:
    texts, image = model.embed_classes(some_classes(CLASSES)), _image((side, side))
    return lambda: model.segment(image, texts)


def _tiles(model: Model, side: int) -> Callable[[], object]:
    texts, image = model.embed_classes(some_classes(CLASSES)), _image((side, side))
    return lambda: model.segment(image, texts, tiling=TILE)


def _regions(model: Model, count: int) -> Callable[[], object]:
    low = np.random.default_rng(0).uniform(0, 0.7, (count, 2))
    corners = np.concatenate([low, low + 0.2], axis=1) * np.array([SIZE[1], SIZE[0]] * 2)
    image, _ = _image(SIZE), model.embedder
    return lambda: model.embed(image, corners)


CURVES = {
    "texts": Curve("class names that are embedded", (1, 10, 100, 1000, 5000), "the text tower, once a name", _texts),
    "templates": Curve(
        f"templates of {CLASSES} names", (1, 7, 80), "the text tower, once a name and template", _templates
    ),
    "classes": Curve(
        "classes that an encoded image is labelled with",
        (1, 10, 100, 1000, 5000),
        "scores of the patches, windows × classes × patches",
        _labels,
    ),
    "pixels": Curve(
        "side of a square image",
        (256, 512, 1024, 2048, 4096, 8192),
        "the label map in full size; the model sees the image in its short side",
        _pixels,
    ),
    "tiles": Curve(
        f"side of a square image in tiles of {TILE}",
        (1024, 2048, 4096, 8192),
        "the encoder, once a tile; of memory the image and its label map",
        _tiles,
    ),
    "regions": Curve(
        "regions of an image", (1, 10, 100, 1000, 10_000), "the embedder's way from a region to a vector", _regions
    ),
}
