"""Files of records: where they lie, what they say of themselves, and their records one after the other."""

import os
from collections.abc import Callable, Iterator, Sequence
from glob import glob, has_magic
from pathlib import Path

from densevl.core.errors import ShardError, UsageError
from densevl.datasets.region_texts.record import RegionTextRecord
from densevl.datasets.region_texts.shard import ShardHead
from densevl.datasets.region_texts.tar_shards import read_tar, tar_bytes, tar_head

__all__ = ["FORMATS", "Source", "read_records", "shard_bytes", "shard_head", "shard_paths"]

Source = str | os.PathLike[str]

FORMATS = {"webdataset": ".tar", "parquet": ".parquet"}
"""Suffix of the shards of each format."""


def shard_paths(source: Source | Sequence[Source]) -> list[Path]:
    """The shards that a file, a folder, a glob or several of them name, sorted by name.

    Raises:
        UsageError: where there is none.
    """
    if not isinstance(source, str | os.PathLike):
        return [path for one in source for path in shard_paths(one)]
    name = os.path.expanduser(os.fspath(source))
    if os.path.isdir(name):
        found = [path for path in Path(name).iterdir() if not path.name.startswith(".")]
    else:
        found = [Path(path) for path in glob(name, recursive=True)] if has_magic(name) else [Path(name)]
    shards = sorted(path for path in found if path.suffix in FORMATS.values() and path.is_file())
    if not shards:
        raise UsageError(f"there is no shard ({', '.join(FORMATS.values())}) at {name!r}; check the path")
    return shards


def read_records(
    source: Source | Sequence[Source], bad: Callable[[ShardError], None] | None = None
) -> Iterator[RegionTextRecord]:
    """The records of shards, one after the other, one held at a time.

    Args:
        source: a ``.tar`` (WebDataset), a ``.parquet``, a folder of them, a glob, or several of these; of our layout,
            of GRIT's, or of images and captions without regions.
        bad: called with each record that is damaged in a shard that is not, such as one with an empty image; it is left
            out. None to raise the error.

    Raises:
        UsageError: where there is no shard; at the first record, as everything here.
        ShardError: where a shard is cut off, after the last whole record, which it names; or a record is damaged.
    """
    for path in shard_paths(source):
        try:
            yield from _records(path, bad)
        except OSError as error:
            raise ShardError(f"{path} cannot be read: {error.strerror or error}") from error


def _records(path: Path, bad: Callable[[ShardError], None] | None) -> Iterator[RegionTextRecord]:
    if path.suffix == ".parquet":
        from densevl.datasets.region_texts.parquet_shards import read_parquet

        yield from read_parquet(path, bad)
        return
    for sample in read_tar(path):
        try:
            record = sample.record()
        except ShardError as error:
            named = ShardError(f"{path}: {error}")
            if bad is None:
                raise named from None
            bad(named)
        else:
            yield record


def shard_bytes(records: Sequence[RegionTextRecord], kind: str, head: ShardHead | None = None) -> bytes:
    """A shard of records: the same records give the same bytes.

    Args:
        records: in their order, their keys different.
        kind: a name of :data:`FORMATS`.
        head: what the shard says of itself; None for its number of records alone.

    Raises:
        UsageError: where pyarrow is missing, or an image is of no kind that shards hold.
    """
    head = ShardHead(len(records)) if head is None else head
    if kind == "parquet":
        from densevl.datasets.region_texts.parquet_shards import parquet_bytes

        return parquet_bytes(records, head)
    return tar_bytes(records, head)


def shard_head(path: Path) -> ShardHead | None:
    """The head of a shard; None where it is not ours.

    Raises:
        ShardError: where it is damaged.
    """
    try:
        if path.suffix == ".parquet":
            from densevl.datasets.region_texts.parquet_shards import parquet_head

            return parquet_head(path)
        return tar_head(path)
    except OSError as error:
        raise ShardError(f"{path} cannot be read: {error.strerror or error}") from error
