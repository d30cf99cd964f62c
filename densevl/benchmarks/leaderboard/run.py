"""Measuring models on data sets: one pass over the images of each, shared by all models."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from densevl.api.models import missing_weights, named_model
from densevl.api.protocols import protocol as published
from densevl.benchmarks.catalogue import data_set, data_set_names
from densevl.benchmarks.leaderboard.contender import Contender, Result, build_contender
from densevl.benchmarks.leaderboard.image_worker import BoardImage, BoardRecipe, BoardWorker
from densevl.benchmarks.leaderboard.sets import BenchmarkSet, open_set
from densevl.benchmarks.presets import OWN
from densevl.core.engine import HERE, Engine, all_of
from densevl.core.errors import DensevlError, UsageError, first_line

__all__ = ["Leaderboard", "run_leaderboard"]

SECONDS = 60.0
"""How often what was reached is written."""


@dataclass(frozen=True)
class Leaderboard:
    """What was measured.

    Attributes:
        models: in the order in which they were named.
        sets: those that are here, by the names of their vocabularies, in order.
        results: by (model, set).
        absent: data sets that are not here, and how to get them.
        refused: models that cannot be measured on a set, by (model, set), and why.
        shared: number of models that shared passes with another, by set.
    """

    models: tuple[str, ...]
    sets: tuple[str, ...]
    results: Mapping[tuple[str, str], Result]
    absent: Mapping[str, str]
    refused: Mapping[tuple[str, str], str] = field(default_factory=dict)
    shared: Mapping[str, int] = field(default_factory=dict)


def run_leaderboard(
    models: Sequence[str],
    sets: Sequence[str],
    folder: Path,
    data: Path | None = None,
    protocol: str | None = None,
    weights: str | None = None,
    length: int | None = None,
    limit: int | None = None,
    engine: Engine = HERE,
    **options: Any,
) -> Leaderboard:
    """Measure models on data sets; what the folder holds of an earlier run is not measured again.

    Args:
        models: names as :func:`densevl.load` takes them.
        sets: names or paths of configs of label maps.
        folder: where what is reached is kept.
        data: folder that stands for the ``data/`` of the configs.
        protocol: a published one by name, ``"own"`` for that of each model that has one, or None for their settings.
        weights: of the encoder, in the place of each model's own, such as ``random:0``.
        length: number of scenes.
        limit: use the first images of each set only.
        engine: where images are labelled; their labels are the same. Seconds are those of a worker beside the others.
        options: further settings of every model.

    Raises:
        UsageError: where a model, a protocol or a config is unknown, or no data set is here.
    """
    for name in models:
        named_model(name)  # an unknown one is said before anything is measured
    if protocol not in (None, OWN):
        published(str(protocol))
    found: dict[tuple[str, str], Result] = {}
    refused: dict[tuple[str, str], str] = {}
    absent: dict[str, str] = {}
    shared: dict[str, int] = {}
    here = []
    build: Any = partial(build_contender, protocol=protocol, folder=folder, weights=weights, **options)
    for name in sets:
        opened = partial(open_set, name, data, length, limit)
        try:
            one = opened()
        except UsageError:
            found_so_far = data_set(name, data or Path("data")) if name in data_set_names() else None
            if found_so_far is None or found_so_far.here:
                raise
            absent[name] = f"{found_so_far.state}: {'; '.join(found_so_far.steps)}"
            continue
        here.append(one.name)
        contenders = []
        for model in models:
            try:
                contenders.append(build(model, one))
            except DensevlError as error:
                refused[model, one.name] = _why(model, error)
        shared[one.name] = _measure(contenders, one, engine, opened, build)
        found |= {(contender.name, one.name): contender.result for contender in contenders if contender.tally.images}
    if not here:
        raise UsageError("no data set is here; " + "; ".join(f"{name}: {why}" for name, why in absent.items()))
    return Leaderboard(tuple(models), tuple(here), found, absent, refused, shared)


def _measure(
    contenders: Sequence[Contender],
    data: BenchmarkSet,
    engine: Engine,
    opened: Callable[[], BenchmarkSet],
    build: Callable[[str, BenchmarkSet], Contender],
) -> int:
    """Let every unfinished contender label the images that it has not seen; return how many shared an encoder."""
    pending = [one for one in contenders if not one.finished]
    if not pending:
        return 0
    starts = tuple(one.tally.images for one in pending)
    own = BoardWorker(pending, data, starts)
    recipe = BoardRecipe(opened, build, tuple(one.name for one in pending), starts)
    items = [BoardImage(index, data.name) for index in range(min(starts), len(data.dataset))]
    written = time.monotonic()
    try:
        for found in tqdm(all_of(engine, recipe, items, own), desc=data.name, total=len(items), disable=None):
            for one, counted in zip(pending, found, strict=True):
                if counted is not None:
                    one.tally.add(counted)
            if time.monotonic() - written > SECONDS:
                written = time.monotonic()
                for one in pending:
                    one.keep()
    finally:
        for one in pending:
            one.keep()
    return own.shared


def _why(model: str, error: DensevlError) -> str:
    """An error in a line; the command that brings weights which are not here."""
    try:
        missing = missing_weights(model, "segmentor")
    except DensevlError:
        missing = ()
    return f"not here: densevl fetch {model}" if missing else first_line(error)
