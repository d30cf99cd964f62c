"""Tables whose rows name images by paths or URLs: CSV, TSV and JSON Lines; and what all tables share."""

import csv
import io
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from densevl.core.errors import ImageError, UsageError, first_line, suggestion
from densevl.core.files import parse_json
from densevl.core.inputs.contracts import BrokenInput
from densevl.core.inputs.remote import open_stored, stored_state

__all__ = ["DIGITS", "Entry", "Table", "TextTable", "is_table"]

SUFFIXES = (".parquet", ".csv", ".tsv", ".jsonl")
COLUMNS = ("image", "jpg", "jpeg", "png", "webp", "path", "url", "file_name")
"""Columns that are looked for, in this order and in either case, where none is named."""
DIGITS = 6
"""Of the number of a row."""


def is_table(path: str | os.PathLike[str]) -> bool:
    """True where the name is that of a table."""
    return os.fspath(path).lower().endswith(SUFFIXES)


class Entry(NamedTuple):
    """What a row says of an image that lies elsewhere.

    Attributes:
        where: the row, for messages.
        text: the path or URL.
    """

    where: str
    text: str


@dataclass(frozen=True)
class Table(ABC):
    """A table of images.

    Attributes:
        path: the file as given, or the URL of an object.
        column: that has the images; None for the first of :data:`COLUMNS` that is there.
    """

    path: Path | str
    column: str | None = None

    @property
    def place(self) -> str:
        """The file from the root, or the URL."""
        return self.path if isinstance(self.path, str) else os.path.abspath(self.path)

    def state(self) -> tuple[int, ...]:
        """The state of the file or object; nothing where it cannot be had."""
        return stored_state(self.path)

    @property
    @abstractmethod
    def names(self) -> Sequence[str]:
        """The columns.

        Raises:
            ImageError: where the table cannot be read.
        """

    @cached_property
    def chosen(self) -> str:
        """The column that has the images.

        Raises:
            ImageError: where the table cannot be read.
            UsageError: where there is none of this name, or none that is known.
        """
        if self.column is not None:
            if self.column not in self.names:
                raise UsageError(f"{self.path} has no column {self.column!r}; {suggestion(self.column, self.names)}")
            return self.column
        lower = {name.lower(): name for name in reversed(self.names)}
        found = next((lower[name] for name in COLUMNS if name in lower), None)
        if found is None:
            raise UsageError(
                f"{self.path} has the columns {', '.join(map(repr, self.names))}, and none is called "
                f"{', '.join(COLUMNS[:-1])} or {COLUMNS[-1]}; say which one has the images, with --column NAME"
            )
        return found

    @abstractmethod
    def entries(self) -> Iterator[Entry | BrokenInput]:
        """What the rows say of images that lie elsewhere; a row without comes as a broken input.

        Raises:
            ImageError: where the table cannot be read.
            UsageError: where there is no column that has the images.
        """

    def entry(self, row: int, value: Any) -> Entry | BrokenInput:
        """What a row says, by its value in the column."""
        where = f"row {row} of {self.path}"
        if isinstance(value, str) and value.strip():
            return Entry(where, value.strip())
        wrong = f"{value!r}, which is no path or URL," if value else "nothing"
        return self.broken(row, f"{where} has {wrong} in the column {self.chosen!r}; mend or drop the row")

    def broken(self, row: int, reason: str) -> BrokenInput:
        """A row that is no image."""
        return BrokenInput(f"{self.path}/{row:0{DIGITS}}", f"{self.place}/{row:0{DIGITS}}", reason)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """A block whose errors say that the table cannot be read.

        Raises:
            ImageError: where the block cannot read the table.
        """
        try:
            yield
        except (OSError, ValueError, csv.Error) as error:
            if isinstance(error, UsageError):
                raise
            said = getattr(error, "strerror", None) or first_line(error)
            raise ImageError(f"the table {self.path} cannot be read: {said}; write it again") from error


class TextTable(Table):
    """A table in a file of text: CSV or TSV with the names of its columns in the first line, or JSON Lines."""

    @property
    def names(self) -> Sequence[str]:
        """The columns; of JSON Lines, those of the first object."""
        return list(next((record for record in self._records if isinstance(record, dict)), {}))

    def entries(self) -> Iterator[Entry | BrokenInput]:
        """What the rows say."""
        for row, record in enumerate(self._records):
            yield record if isinstance(record, BrokenInput) else self.entry(row, record.get(self.chosen))

    @cached_property
    def _records(self) -> Sequence[dict[str, Any] | BrokenInput]:
        kind = os.fspath(self.path).lower().rpartition(".")[2]
        with self.reading():
            with open_stored(self.path) as file:
                text = file.read().decode("utf-8-sig")
            if kind == "jsonl":
                return [self._object(row, line) for row, line in enumerate(text.split("\n")) if line.strip()]
            return list(csv.DictReader(io.StringIO(text, newline=""), delimiter="\t" if kind == "tsv" else ","))

    def _object(self, row: int, line: str) -> dict[str, Any] | BrokenInput:
        try:
            value = parse_json(line)
        except ValueError as error:
            return self.broken(row, f"line {row + 1} of {self.path} is no JSON: {error}")
        if isinstance(value, dict):
            return value
        return self.broken(row, f"line {row + 1} of {self.path} is no JSON object; write one with a path or URL")
