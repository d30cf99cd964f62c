"""Encoders side by side: label maps, regions, expressions, captions, time, memory, size, licence.

Every encoder is read by the readers of its model: the weights of an encoder by the usual ones
(:data:`densevl.api.models.ANY`), which are MaskCLIP for label maps, crops for regions, and marked images for
expressions. What a model cannot do is left blank, and why stands below the table. Nothing is fetched: an encoder that
is not on this machine is a row without figures that says how to get it.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from densevl.api.loading import load
from densevl.api.model import Model
from densevl.api.models import encoders, missing_weights, model_entry
from densevl.benchmarks.speed.cost import measure
from densevl.benchmarks.tables.encoder_tasks import PhotoTasks, SceneTasks, Tasks
from densevl.core.errors import DensevlError, first_line, shortened
from densevl.metrics.table import Cell, Spread, Table
from densevl.weights import is_cached, weights_entry

__all__ = ["HEAD", "SEEDS", "encoders_table"]

SEEDS = (11, 12, 13)
"""Of the collections of scenes; no setting was chosen on them."""

HEAD = (
    "encoder",
    "label maps, mIoU",
    "regions, names",
    "regions by text, R@1",
    "expressions",
    "image → text, R@1",
    "text → image, R@1",
    "ms",
    "MB",
    "million weights",
    "licence",
)

REPETITIONS = 5
NONE = float("nan")


def encoders_table(scenes: int, models: Sequence[str] = (), data: Path | None = None) -> Table:
    """Measure the table.

    Args:
        scenes: of each seed, where there is no folder of photos.
        models: names of models or of weights of encoders; none for those of the mini family or, with photos, for the
            model ``photo`` and all encoders that are here.
        data: folder of photos, see :class:`densevl.benchmarks.tables.encoder_tasks.PhotoTasks`; None for scenes.

    Raises:
        UsageError: where a name is unknown, or photos are missing.
    """
    names = tuple(dict.fromkeys(models)) or (_mini() if data is None else _on_photos())
    for name in names:
        model_entry(name)  # an unknown one is said before anything is measured
    collections: list[Tasks] = [PhotoTasks(data)] if data is not None else [SceneTasks(scenes, s) for s in SEEDS]
    rows, notes = [], []
    for name in tqdm(names, desc="encoders", disable=None):
        cells, blanks = _row(name, collections)
        rows.append((name, cells))
        notes += blanks
    seeds = "" if data is not None else f", mean ± standard deviation of seeds {', '.join(map(str, SEEDS))}"
    about = (
        f"{collections[0].about}{seeds}. Milliseconds of processor time that encoding one of them takes, and memory at "
        "the peak of it, weights included."
    )
    return Table(HEAD, rows, " ".join([about, *dict.fromkeys(notes)]))


def _mini() -> tuple[str, ...]:
    return tuple(name for name in encoders() if weights_entry(name).packaged)


def _on_photos() -> tuple[str, ...]:
    return ("photo", *(name for name in encoders() if name not in _mini() and is_cached(weights_entry(name))))


def _row(name: str, collections: Sequence[Tasks]) -> tuple[list[Cell], list[str]]:
    """The figures of a model, and why some are missing."""
    entry = model_entry(name)
    missing = missing_weights(name, "segmentor" if entry.segmentor else "grounder")
    if missing:
        cure = f"{name} is not here: densevl fetch {' '.join(one.name for one in missing)}."
        return [*[NONE] * 8, _millions(sum(one.parameters for one in missing)), _licence(name)], [cure]
    model = load(name, device="cpu", offline=True)
    tasks = ("label_maps", "names", "regions", "expressions", "captions")
    found: list[list[Any]] = []
    blanks = []
    for task in tqdm(tasks, desc=name, leave=False, disable=None):
        try:
            found.append([getattr(one, task)(model) for one in collections])
        except DensevlError as error:
            found.append([(NONE, NONE) if task == "captions" else NONE])
            blanks.append(f"{name}, {task.replace('_', ' ')}: {shortened(first_line(error), 60)}.")
    *single, pairs = found
    cells: list[Cell] = [Spread(values) for values in single]
    cells += [Spread(values) for values in zip(*pairs, strict=True)]
    weights = _parameters(model)
    return [*cells, *_cost(model, collections[0], weights), _millions(weights), _licence(name)], blanks


def _parameters(model: Model) -> int:
    return sum(parameter.numel() for parameter in model.segmentor.encoder.parameters())


def _millions(count: int) -> float:
    return count / 1e6 or NONE


def _licence(name: str) -> str:
    """The licence of the encoder, not of what it is used with."""
    return weights_entry(name).licence if name in encoders() else model_entry(name).licence


def _cost(model: Model, tasks: Tasks, weights: int) -> tuple[float, float]:
    """Milliseconds that encoding a picture takes, and megabytes at the peak."""
    image = tasks.picture()
    times = measure({"encode": lambda: model.encode([image])}, REPETITIONS, clock=time.process_time)["encode"]
    return 1000 * times.median, (max(times.added) + 4 * weights) / 1e6
