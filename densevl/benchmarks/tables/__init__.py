"""Tables of the README, each printed by one command: ``python tools/table.py NAME``.

A table is a module of this folder with a function ``rows(scenes)`` that measures it.
"""

from importlib import import_module

from densevl.benchmarks.tables.table import Table
from densevl.errors import UsageError
from densevl.wording import suggestion

__all__ = ["TABLES", "Table", "measure"]

TABLES = {
    "dinoiser": "what each refinement adds to MaskCLIP on held-out scenes, up to affinities of the true instances",
    "referring": "which visual prompts the mini CLIP can read: referring expressions on held-out scenes",
}
"""Names of the tables and what they show."""


def measure(name: str, scenes: int) -> Table:
    """Measure a table.

    Args:
        name: of :data:`TABLES`.
        scenes: number of held-out scenes.

    Raises:
        UsageError: where there is no such table, or no scene.
    """
    if name not in TABLES:
        raise UsageError(f"table {name!r} is unknown; {suggestion(name, TABLES)}")
    if scenes < 1:
        raise UsageError(f"scenes: a table is measured on at least one; got {scenes}")
    table: Table = import_module(f"densevl.benchmarks.tables.{name}").rows(scenes)
    return table
