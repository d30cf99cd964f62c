"""Tables of the README, each printed by one command: ``python tools/table.py NAME``.

A table is a module with a function ``rows(scenes)`` that measures it: of this folder, or named in :data:`ELSEWHERE`.
"""

from importlib import import_module

from densevl.core.errors import UsageError, suggestion
from densevl.metrics.table import Table

__all__ = ["TABLES", "Table", "measure"]

TABLES = {
    "cloc": "CLOC's ablation: prompter, RoIAlign, pooling and crops under true and noisy boxes, three seeds each",
    "dinoiser": "what each refinement adds to MaskCLIP on held-out scenes, up to affinities of the true instances",
    "referring": "which visual prompts the mini CLIP can read: referring expressions on held-out scenes",
    "search": "whether the first of all regions that a text or an example finds is right, on held-out scenes",
}
"""Names of the tables and what they show."""

ELSEWHERE = {"cloc": "densevl.benchmarks.tables.cloc"}
"""Modules of tables that train what they measure, which lies above the benchmarks."""


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
    if steps is not None and (name not in ELSEWHERE or steps < 1):
        raise UsageError(
            f"steps: at least one, for a table that trains ({', '.join(ELSEWHERE)}); got {steps} for {name}"
        )
    module = import_module(ELSEWHERE.get(name, f"densevl.benchmarks.tables.{name}"))
    table: Table = module.rows(scenes) if steps is None else module.rows(scenes, steps)
    return table
