"""Tables of the README, each printed by one command: ``python tools/table.py NAME``."""

from collections.abc import Callable
from typing import Any

from densevl.core.errors import UsageError, suggestion
from densevl.metrics.table import Table

__all__ = ["TABLES", "Table", "measure"]


def _cloc(scenes: int, steps: int | None = None) -> Table:
    """CLOC's ablation: prompter, RoIAlign, pooling and crops under true and noisy boxes, three seeds each"""
    from densevl.benchmarks.tables.cloc import STEPS, cloc_table

    return cloc_table(scenes, STEPS if steps is None else steps)


def _dinoiser(scenes: int) -> Table:
    """what each refinement adds to MaskCLIP on held-out scenes, up to affinities of the true instances"""
    from densevl.benchmarks.tables.dinoiser import dinoiser_table

    return dinoiser_table(scenes)


def _referring(scenes: int) -> Table:
    """which visual prompts the mini CLIP can read: referring expressions on held-out scenes"""
    from densevl.benchmarks.tables.referring import referring_table

    return referring_table(scenes)


def _search(scenes: int) -> Table:
    """whether the first of all regions that a text or an example finds is right, on held-out scenes"""
    from densevl.benchmarks.tables.search import search_table

    return search_table(scenes)


TABLES: dict[str, Callable[..., Table]] = {
    "cloc": _cloc,
    "dinoiser": _dinoiser,
    "referring": _referring,
    "search": _search,
}
"""Functions that measure the tables, by name; their docstrings say what the tables show."""

TRAINED = ("cloc",)
"""Tables that train what they measure."""


def measure(name: str, scenes: int, steps: int | None = None) -> Table:
    """Measure a table.

    Args:
        name: of :data:`TABLES`.
        scenes: number of held-out scenes.
        steps: of each training, in a table that trains; None for its own number.

    Raises:
        UsageError: where there is no such table, no scene, or steps are given for a table that does not train.
    """
    if name not in TABLES:
        raise UsageError(f"table {name!r} is unknown; {suggestion(name, TABLES)}")
    if scenes < 1:
        raise UsageError(f"scenes: a table is measured on at least one; got {scenes}")
    if steps is not None and (name not in TRAINED or steps < 1):
        raise UsageError(f"steps: at least one, for a table that trains ({', '.join(TRAINED)}); got {steps} for {name}")
    settings: dict[str, Any] = {} if steps is None else {"steps": steps}
    return TABLES[name](scenes, **settings)
