"""Parquet files of images, here or in a bucket. An extra: ``densevl[parquet]``.

A column names images by paths or URLs, or holds the encoded images themselves: as bytes, as img2dataset writes them, or
as the struct of ``bytes`` and ``path`` of Hugging Face's ``datasets``. These are read where they lie, a few rows at a
time, and never all of a file.
"""

import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import accumulate, repeat
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import UInt8

from densevl.core.errors import ImageError, UsageError
from densevl.core.images import decode_image
from densevl.core.inputs.contracts import MOST_BYTES, BrokenInput
from densevl.core.inputs.remote import open_stored
from densevl.core.inputs.tables import DIGITS, Entry, Table

__all__ = ["ParquetTable", "StoredImage", "is_parquet"]

KEYS = ("key", "__key__")
"""Columns that name images which have no path."""
ROWS, HELD = 16, 3
"""Rows that are read together, and groups of them that are held: threads come a little out of order."""


def is_parquet(path: Path | str) -> bool:
    """True where the name is that of a Parquet file."""
    return str(path).lower().endswith(".parquet")


@dataclass(frozen=True)
class StoredImage:
    """An image in a Parquet file.

    Attributes:
        table: that holds it.
        row: from 0.
        relative: the name of its results.
    """

    table: "ParquetTable"
    row: int
    relative: str = ""

    @property
    def inside(self) -> str:
        """The column and the row."""
        return f"{self.table.chosen}/{self.row:0{DIGITS}}"

    @property
    def name(self) -> str:
        """The table as given, the column and the row."""
        return f"{self.table.path}/{self.inside}"

    @property
    def place(self) -> str:
        """The table from the root, the column and the row."""
        return f"{self.table.place}/{self.inside}"

    def state(self) -> tuple[int, ...]:
        """State of the table, and the row."""
        state = self.table.state()
        return (*state, self.row) if state else ()

    def read(self) -> UInt8[np.ndarray, "H W 3"]:
        """The image.

        Raises:
            ImageError: where the table cannot be read, or the row has no image.
        """
        data = self.table.read(self.row, self.name)
        if len(data) > MOST_BYTES:
            raise ImageError(f"{self.name} has {len(data)} bytes, above the limit of {MOST_BYTES}; scale it down")
        return decode_image(data, self.name)


@dataclass(frozen=True)
class ParquetTable(Table):
    """A Parquet file of images; reading them about in their order reads each once, and holds a few rows.

    In another process its images share one again, so that each process opens it once.

    Raises:
        UsageError: by all that reads it: where pyarrow is not installed.
    """

    _lock: Any = field(default_factory=threading.Lock, repr=False, compare=False)
    _held: deque[tuple[int, Any]] = field(default_factory=lambda: deque(maxlen=HELD), repr=False, compare=False)
    _coming: list[Any] = field(default_factory=list, repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return _shared, (self.path, self.column, self.state())

    @property
    def names(self) -> Sequence[str]:
        """The columns."""
        return list(self._schema.names)

    @property
    def holds_images(self) -> bool:
        """True where the column has the images themselves; else it names them.

        Raises:
            ImageError: where the table cannot be read.
            UsageError: where there is no column that has images, or it has values of another kind.
        """
        kind = self._schema.field(self.chosen).type
        if _is_text(kind):
            return False
        inner = {kind.field(i).name: kind.field(i).type for i in range(kind.num_fields)}
        if not _is_bytes(inner.get("bytes", kind)):
            raise UsageError(
                f"the column {self.chosen!r} of {self.path} has values of the kind {kind}; images are texts (paths or "
                "URLs), bytes, or structs of bytes and path: say which column has them, with --column NAME"
            )
        return True

    def images(self) -> Iterator[tuple[StoredImage, str]]:
        """The images that the table holds, each with the name that the table has for it, or else its row."""
        for row, name in enumerate(self._labels()):
            path = PurePosixPath((name or "").replace("\\", "/"))
            known = path.parts and not path.is_absolute() and ".." not in path.parts and "\0" not in str(path)
            yield StoredImage(self, row), path.as_posix() if known else f"{row:0{DIGITS}}"

    def entries(self) -> Iterator[Entry | BrokenInput]:
        """What the rows say of images that lie elsewhere."""
        return (self.entry(row, value) for row, value in enumerate(self._texts(self.chosen)))

    def read(self, row: int, name: str) -> bytes:
        """The encoded image of a row.

        Args:
            row: from 0.
            name: what messages call it.

        Raises:
            ImageError: where the table cannot be read, or the row has no image.
        """
        with self._lock, self.reading():
            value = self._value(row)
        data = value.get("bytes") if isinstance(value, dict) else value
        if data is None:
            path = value.get("path") if isinstance(value, dict) else None
            raise ImageError(f"{name} has no image{f', but the path {path!r}; name that file' if path else ''}")
        return bytes(data)

    def _value(self, row: int) -> Any:
        for start, values in self._held:
            if start <= row < start + len(values):
                return values[row - start].as_py()
        group = self._group(row)
        if not self._coming or group != self._coming[0] or row < self._coming[1]:
            self._coming[:] = [group, self._starts[group], self._values(group)]
        _, start, coming = self._coming
        for values in coming:
            self._held.append((start, values))
            if row < start + len(values):
                self._coming[1] = start + len(values)
                return values[row - start].as_py()
            start += len(values)
        self._coming.clear()
        raise ValueError(f"it ends before row {row}")

    def _group(self, row: int) -> int:
        return bisect_right(self._starts, row) - 1

    def _values(self, group: int) -> Iterator[Any]:
        """The values of a group of rows, some at a time."""
        batches = self._file.iter_batches(ROWS, [group], [self.chosen], use_threads=False)
        return (batch.column(0) for batch in batches)

    def _labels(self) -> Iterator[str | None]:
        """What the table calls each image that it holds."""
        kind = self._schema.field(self.chosen).type
        if any(kind.field(i).name == "path" for i in range(kind.num_fields)):
            return self._texts(f"{self.chosen}.path")
        key = next((name for name in KEYS if name in self.names and _is_text(self._schema.field(name).type)), None)
        return repeat(None, self._starts[-1]) if key is None else self._texts(key)

    def _texts(self, column: str) -> Iterator[str | None]:
        """The texts of a column, or of a part of one."""
        with self.reading():
            for batch in self._file.iter_batches(1 << 14, columns=[column]):
                for value in batch.column(0).to_pylist():
                    yield value["path"] if isinstance(value, dict) else value

    @cached_property
    def _file(self) -> Any:
        try:
            from pyarrow import parquet
        except ImportError as error:
            raise UsageError("Parquet files are read by pyarrow: pip install 'densevl[parquet]'") from error
        with self.reading():
            return parquet.ParquetFile(open_stored(self.path), buffer_size=1 << 20, pre_buffer=False)

    @cached_property
    def _schema(self) -> Any:
        return self._file.schema_arrow

    @cached_property
    def _starts(self) -> list[int]:
        """The first row of each group of rows, and the number of all rows."""
        about = self._file.metadata
        return [0, *accumulate(about.row_group(group).num_rows for group in range(about.num_row_groups))]


@lru_cache(maxsize=8)
def _shared(path: Path | str, column: str | None, state: tuple[int, ...]) -> ParquetTable:
    """The table that images share which come to this process one after the other."""
    return ParquetTable(path, column)


def _is_text(kind: Any) -> bool:
    return str(kind).startswith(
        ("string", "large_string", "dictionary<values=string", "dictionary<values=large_string")
    )


def _is_bytes(kind: Any) -> bool:
    return str(kind) in ("binary", "large_binary", "binary_view")
