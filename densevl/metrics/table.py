"""Figures as text, and tables of them as Markdown."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

from densevl.core.files import atomic_write

__all__ = ["Cell", "Spread", "Table", "mean_percent", "or_none", "percent", "said"]


def percent(value: float) -> str:
    """A figure in percent, five letters wide; a dash for nan."""
    return "    –" if value != value else f"{value:5.2f}"


def mean_percent(values: Sequence[int | float]) -> float:
    """The mean in percent; nan where there is no value."""
    return 100 * sum(values) / len(values) if values else float("nan")


def or_none(value: int | float) -> int | float | None:
    """The figure for a JSON file: None for nan."""
    return None if value != value else value


@dataclass(frozen=True)
class Spread:
    """One figure measured several times, as with several seeds; written as mean ± standard deviation.

    Attributes:
        values: at least one.
    """

    values: Sequence[float]

    @property
    def mean(self) -> float:
        """Nan where a value is."""
        return fmean(self.values)

    @property
    def deviation(self) -> float:
        """Nan where a value is."""
        return self.mean if self.mean != self.mean else pstdev(self.values)

    def __format__(self, spec: str) -> str:
        alone = len(self.values) < 2 or self.mean != self.mean
        mean = format(self.mean, spec)
        return mean if alone else f"{mean} ± {format(self.deviation, spec)}"


Cell = float | Spread | str
"""A figure, one measured several times, or a word."""


@dataclass(frozen=True)
class Table:
    """Rows of figures under a head.

    Attributes:
        head: what stands over the columns; the first is over the names of the rows.
        rows: name and figures of each row, in percent unless the head says otherwise; a column may hold words.
        note: scenes, sizes, weights and what else decides the figures.
        further: tables that belong to it and are printed below it.
    """

    head: tuple[str, ...]
    rows: Sequence[tuple[str, Sequence[Cell]]]
    note: str
    further: Sequence["Table"] = ()

    def __str__(self) -> str:
        """The table in Markdown, figures with one decimal and a dash for none, the note and further tables below it."""
        lines = [self.head, ("---",) * len(self.head)]
        lines += [(name, *map(_written, figures)) for name, figures in self.rows]
        own = "\n".join("| " + " | ".join(line) + " |" for line in lines) + f"\n\n{self.note}"
        return "\n\n".join([own, *map(str, self.further)])

    @property
    def record(self) -> dict[str, Any]:
        """The table as JSON values; of a figure measured several times mean, deviation and all values."""
        columns = self.head[1:]
        rows = [
            {"name": name, **{column: _recorded(cell) for column, cell in zip(columns, cells, strict=True)}}
            for name, cells in self.rows
        ]
        tables = [table.record for table in self.further]
        return {"head": list(self.head), "rows": rows, "note": self.note, **({"further": tables} if tables else {})}

    def save(self, path: Path) -> None:
        """Write :attr:`record` as JSON.

        Raises:
            OutputError: where it cannot be written.
        """
        with atomic_write(path) as file:
            file.write_text(json.dumps(self.record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _written(cell: Cell) -> str:
    return cell if isinstance(cell, str) else f"{cell:.1f}".replace("nan", "–")


def _recorded(cell: Cell) -> Any:
    if isinstance(cell, Spread):
        values = [or_none(round(value, 4)) for value in cell.values]
        mean, deviation = round(cell.mean, 4), round(cell.deviation, 4)
        return {"mean": or_none(mean), "deviation": or_none(deviation), "values": values}
    return cell if isinstance(cell, str) else or_none(round(cell, 4))


def said(cell: Any) -> str:
    """A figure of a table's record as the table writes it."""
    if isinstance(cell, dict):
        return f"{said(cell['mean'])} ± {cell['deviation']:.1f}" if cell["mean"] is not None else "–"
    return cell if isinstance(cell, str) else "–" if cell is None else f"{cell:.1f}"
