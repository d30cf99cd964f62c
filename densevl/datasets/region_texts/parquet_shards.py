"""Parquet files of records: a row a record, its image among its columns. An extra: ``densevl[parquet]``.

Ours have ``key``, ``image`` (the encoded image), ``height``, ``width``, ``caption`` and ``regions``, a list of
``box``, ``text`` and ``score``. Of img2dataset's and GRIT's, ``jpg`` (or ``png``, ``webp``, ``image``), ``caption``,
``noun_chunks`` and ``ref_exps`` are read. The end of a Parquet file says where everything lies, so that of one that
was cut off nothing can be read.
"""

from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

from densevl.core.errors import ImageError, ShardError, UsageError
from densevl.core.inputs.remote import open_stored
from densevl.datasets.region_texts.record import RegionTextRecord
from densevl.datasets.region_texts.sample import PICTURES, as_record
from densevl.datasets.region_texts.shard import ShardHead, cut_off

try:
    import pyarrow
    from pyarrow import parquet
except ImportError as error:
    raise UsageError("Parquet files need pyarrow; install it: pip install 'densevl[parquet]'") from error

__all__ = ["SCHEMA", "parquet_bytes", "parquet_head", "read_parquet"]

SCHEMA = pyarrow.schema(
    [
        pyarrow.field("key", pyarrow.string(), nullable=False),
        pyarrow.field("image", pyarrow.binary(), nullable=False),
        pyarrow.field("height", pyarrow.int32(), nullable=False),
        pyarrow.field("width", pyarrow.int32(), nullable=False),
        pyarrow.field("caption", pyarrow.string()),
        pyarrow.field(
            "regions",
            pyarrow.list_(
                pyarrow.struct(
                    [
                        ("box", pyarrow.list_(pyarrow.float64(), 4)),
                        ("text", pyarrow.string()),
                        ("score", pyarrow.float64()),
                    ]
                )
            ),
            nullable=False,
        ),
    ]
)
"""The columns of ours."""

ROWS = 64
"""Records that are read, and so held, at once."""


def parquet_bytes(records: Iterable[RegionTextRecord], head: ShardHead) -> bytes:
    """A shard of records: the same records give the same bytes, for one version of pyarrow.

    Args:
        records: in their order.
        head: what the shard says of itself.
    """
    rows = [{**record.as_dict(), "image": record.encoded_image} for record in records]
    table = pyarrow.Table.from_pylist(rows, SCHEMA.with_metadata(head.as_texts()))
    file = BytesIO()
    parquet.write_table(table, file, row_group_size=ROWS)
    return file.getvalue()


def parquet_head(path: Path) -> ShardHead | None:
    """The head of a Parquet file; None where it is not ours.

    Raises:
        ShardError: where it is no whole Parquet file.
        OSError: where it cannot be opened.
    """
    with _open(path) as file:
        return _head(path, file)


def read_parquet(path: Path | str, bad: Callable[[ShardError], None] | None = None) -> Iterator[RegionTextRecord]:
    """The records of a Parquet file.

    Args:
        path: the file, or the URL of an object.
        bad: called with each record that is damaged and left out; None to raise the error.

    Raises:
        ShardError: where it is cut off, or a record is damaged or has no image.
        ImageError: where the object at a URL cannot be had.
        OSError: where it cannot be opened.
    """
    whole, last = 0, None
    with _open(path) as file:
        head = _head(path, file)
        expected = file.metadata.num_rows if head is None else head.records
        columns = _columns(path, file.schema_arrow.names)
        try:
            for batch in file.iter_batches(ROWS, columns=list(columns)):
                for row in batch.to_pylist():
                    try:
                        record = _record(path, whole, {columns[name]: value for name, value in row.items()})
                    except ShardError as error:
                        if bad is None:
                            raise
                        whole += 1
                        bad(error)
                        continue
                    whole, last = whole + 1, record.key
                    yield record
        except (pyarrow.ArrowException, OSError) as error:
            raise cut_off(path, whole, last, expected, str(error).splitlines()[0]) from None
    if whole != expected:
        raise cut_off(path, whole, last, expected, f"it says that it has {expected} records, and has {whole}")


def _open(path: Path | str) -> Any:
    if isinstance(path, Path) and not path.is_file():
        raise FileNotFoundError(2, "no such file", str(path))
    try:
        return parquet.ParquetFile(path if isinstance(path, Path) else open_stored(path))
    except (pyarrow.ArrowException, OSError) as error:
        raise cut_off(path, 0, None, None, str(error).splitlines()[0]) from None


def _head(path: Path | str, file: Any) -> ShardHead | None:
    metadata = file.schema_arrow.metadata or {}
    try:
        return ShardHead.from_texts({name.decode(): value.decode() for name, value in metadata.items()})
    except ValueError as error:
        raise cut_off(path, 0, None, None, str(error)) from None


def _columns(path: Path | str, names: list[str]) -> dict[str, str]:
    """Our names of the columns that are of use."""
    wanted = ("key", "caption", "height", "width", "regions", "noun_chunks", "ref_exps")
    found = [name for name in ("image", *PICTURES) if name in names]
    if not found:
        raise ShardError(
            f"{path} has no images, only {', '.join(names)}; expected a column image, jpg, png or webp of encoded "
            "images; fetch those of a list of addresses with img2dataset"
        )
    return {found[0]: "image", **{name: name for name in wanted if name in names}}


def _record(path: Path | str, number: int, row: dict[str, Any]) -> RegionTextRecord:
    key = str(row.get("key", f"{PurePosixPath(path).stem}/{number:09}"))
    try:
        if not isinstance(row["image"], bytes):
            raise UsageError("it has no image")
        return as_record(key, row["image"], row, row.get("caption"))
    except (ImageError, UsageError) as error:
        raise ShardError(f"{path}: record {key!r} cannot be read: {error}") from None
