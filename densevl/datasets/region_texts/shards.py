"""Files of records: where they lie, what they say of themselves, and their records one after the other."""

import os
from collections.abc import Callable, Iterator, Sequence
from glob import glob, has_magic
from pathlib import Path

from densevl.core.errors import ImageError, ShardError, UsageError
from densevl.core.inputs.braces import expand_braces
from densevl.core.inputs.remote import find_remote, is_remote, usable
from densevl.datasets.region_texts.record import RegionTextRecord
from densevl.datasets.region_texts.shard import ShardHead
from densevl.datasets.region_texts.tar_shards import read_tar, tar_bytes, tar_head
from densevl.weights.places import is_offline

__all__ = [
    "FORMATS",
    "Source",
    "is_shard",
    "read_records",
    "remote_shards",
    "shard_bytes",
    "shard_head",
    "shard_paths",
]

Source = str | os.PathLike[str]

FORMATS = {"webdataset": ".tar", "parquet": ".parquet"}
"""Suffix of the shards of each format."""


def is_shard(name: Source) -> bool:
    """True where the name is that of a shard."""
    return os.fspath(name).endswith(tuple(FORMATS.values()))


def shard_paths(source: Source | Sequence[Source], offline: bool = False) -> list[Path | str]:
    """The shards that a file, a folder, a glob or several of them name, those of each in the order of their names.

    Args:
        source: here, or in a bucket (``s3://…``, ``gs://…``); braces count and list: ``shard-{000..099}.tar``.
        offline: refuse the network.

    Returns:
        The path of each file, and the URL of each object.

    Raises:
        UsageError: where there is none, what reads a bucket is not installed, or it is named offline.
    """
    if not isinstance(source, str | os.PathLike):
        return [path for one in source for path in shard_paths(one, offline)]
    return [path for name in expand_braces(os.fspath(source)) for path in _named(name, offline)]


def _named(name: str, offline: bool) -> Sequence[Path | str]:
    """The shards that a name without braces names."""
    shards: Sequence[Path | str]
    if is_remote(name):
        shards = list(remote_shards(name, offline))
    else:
        name = os.path.expanduser(name)
        if os.path.isdir(name):
            found = [path for path in Path(name).iterdir() if not path.name.startswith(".")]
        else:
            found = [Path(path) for path in glob(name, recursive=True)] if has_magic(name) else [Path(name)]
        shards = sorted(path for path in found if path.suffix in FORMATS.values() and path.is_file())
    if not shards:
        raise UsageError(f"there is no shard ({', '.join(FORMATS.values())}) at {name!r}; check the path")
    return shards


def remote_shards(url: str, offline: bool = False) -> Iterator[str]:
    """The shards that the URL of an object, of a folder or of a glob names; those of a folder lie in it itself.

    Args:
        url: of the place.
        offline: refuse the network.

    Raises:
        UsageError: where the place cannot be reached, what reads it is not installed, or it is named offline.
    """
    try:
        for place, inner, _ in find_remote(usable(url, is_offline(offline)), is_shard):
            if is_shard(place) and (has_magic(url) or inner == 1):
                yield place
    except ImageError as error:
        raise UsageError(str(error)) from error


def read_records(
    source: Source | Sequence[Source], bad: Callable[[ShardError], None] | None = None
) -> Iterator[RegionTextRecord]:
    """The records of shards, one after the other, one held at a time.

    Args:
        source: a ``.tar`` (WebDataset), a ``.parquet``, a folder of them, a glob, or several of these, here or in a
            bucket; of our layout, of GRIT's, or of images and captions without regions.
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
        except ImageError as error:
            raise ShardError(str(error)) from error


def _records(path: Path | str, bad: Callable[[ShardError], None] | None) -> Iterator[RegionTextRecord]:
    if os.fspath(path).endswith(FORMATS["parquet"]):
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
        if path.suffix == FORMATS["parquet"]:
            from densevl.datasets.region_texts.parquet_shards import parquet_head

            return parquet_head(path)
        return tar_head(path)
    except OSError as error:
        raise ShardError(f"{path} cannot be read: {error.strerror or error}") from error
