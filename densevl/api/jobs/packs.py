"""Packs: neighbouring inputs of a job, whose results are one WebDataset tar, ``results-000000.tar``.

A tar has the files of each image one behind the other, as they would lie in a folder of results, the record last. Dots
and per cent signs of an image's name are written as in URLs (``%2E``), because the first dot of a name ends a key of
WebDataset. The head, the global header of the archive, tells how many images it has, which inputs it was made of, and
which of them failed. Members carry no time and no owner, so that the same results give the same bytes. A tar is
written whole or not at all.
"""

import hashlib
import json
import re
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from densevl.api.jobs.formats.joined import join
from densevl.api.jobs.formats.record import ImageRecord
from densevl.api.jobs.results import Results
from densevl.core.errors import OutputError, UsageError
from densevl.core.files import atomic_write, locked, parse_json
from densevl.core.inputs import Input
from densevl.datasets.region_texts.shard import ShardHead

__all__ = ["Pack", "join_packs", "pack_paths", "plan_packs", "read_head", "read_results", "unpack_all", "write_pack"]

RECORD = ".record.json"
BLOCK = 1 << 20


@dataclass(frozen=True)
class Pack:
    """Neighbouring inputs.

    Attributes:
        index: from 0.
        inputs: in their order.
    """

    index: int
    inputs: tuple[Input, ...]

    @property
    def place(self) -> str:
        """The name of the tar."""
        return f"results-{self.index:06}.tar"

    def identity(self, count: int | None = None) -> str:
        """A text of the inputs, or of the first of them; it does not change with what is in them.

        Args:
            count: of inputs; None for all.
        """
        told = json.dumps([(item.place, item.relative) for item in self.inputs[:count]], ensure_ascii=False)
        return f"{len(self.inputs[:count])}-{hashlib.sha256(told.encode()).hexdigest()[:16]}"

    def states(self, sources: dict[str, Sequence[Any]] | None = None) -> str:
        """A text of the states of the inputs.

        Args:
            sources: states that some of them had when they were read, by their places; the others are asked.
        """
        told = [list((sources or {}).get(item.place) or item.state()) for item in self.inputs]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def plan_packs(inputs: Sequence[Input], size: int) -> list[Pack]:
    """Inputs, divided; the division follows from their order alone."""
    return [Pack(i // size, tuple(inputs[i : i + size])) for i in range(0, len(inputs), size)]


def pack_paths(out: Path) -> list[Path]:
    """The tars of results in a folder, in their order."""
    return sorted(path for path in out.glob("results-*.tar") if re.fullmatch(r"results-\d{6,}\.tar", path.name))


def write_pack(target: Path, folder: Path, named: Iterable[tuple[str, Sequence[Path]]], head: ShardHead) -> None:
    """Write the results of a folder to a tar.

    Args:
        target: the tar.
        folder: of the results.
        named: names of images and their files, the record last.
        head: of the tar.

    Raises:
        OutputError: where it cannot be written.
    """
    with atomic_write(target) as temporary:
        texts = head.as_texts()
        with tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT, pax_headers=texts) as archive:
            for name, files in named:
                for path in files:
                    member = tarfile.TarInfo(_packed(path.relative_to(folder).as_posix(), name))
                    member.size = path.stat().st_size
                    with path.open("rb") as file:
                        archive.addfile(member, file)


def read_head(path: Path) -> ShardHead | None:
    """The head of a tar of results; None where it is none, or is not there.

    Raises:
        OutputError: where it cannot be read.
    """
    try:
        with tarfile.open(path, "r:") as archive:
            return ShardHead.from_texts(archive.pax_headers)
    except (FileNotFoundError, tarfile.TarError, ValueError):
        return None
    except OSError as error:
        raise OutputError(f"cannot read {path}: {error.strerror or error}; name another folder") from error


def read_results(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names and records of the images in a tar of results, in their order.

    Raises:
        UsageError: where it is damaged.
    """
    for name, data in _members(path, RECORD):
        try:
            record = parse_json(data)
            _ = record["source"][0], record["saved"], record["settings"]
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise UsageError(f"{path}: the record of {name} is damaged ({error}); {CURE}") from None
        yield name.removesuffix(RECORD), record


def _unpack(path: Path, out: Path) -> None:
    """Write the files in a tar of results to a folder."""
    for name, data in _members(path):
        parts = Path(name).parts
        if not parts or Path(name).is_absolute() or ".." in parts:
            raise UsageError(f"{path} has the name {name!r}, which leads out of the folder; it is no tar of results")
        with atomic_write(out / name) as temporary:
            temporary.write_bytes(data)


def join_packs(results: Results) -> int:
    """Write what is joined of all tars in a folder; gives the number of their images.

    Raises:
        OutputError: where it cannot be written.
        UsageError: where a tar is damaged.
    """

    def records() -> Iterator[ImageRecord]:
        for path in pack_paths(results.out):
            made = read_results(path)
            for name, record in (pair for pair in made if pair[1]["settings"] == results.settings):
                yield ImageRecord.from_json(record, name, results.vocabulary, results.instances)

    with locked(results.out):
        join(list(results.formats.values()), results.out, records, results.vocabulary)
    heads = map(read_head, pack_paths(results.out))
    return sum(head.records for head in heads if head is not None)


def unpack_all(folder: Path, results: Results) -> None:
    """Write the files in all tars of a folder to another one.

    Args:
        folder: of the tars.
        results: of the same job, in the folder of the files.

    Raises:
        OutputError: where a file cannot be written.
        UsageError: where a tar is damaged, or there are results of other images under a name.
    """
    for path in pack_paths(folder):
        for name, record in read_results(path):
            there = results.record(name)
            if there is not None and there["source"] != record["source"]:
                raise UsageError(
                    f"{name!r} is {there['source'][0]} in {results.out} and {record['source'][0]} in {path}; "
                    "merge folders of shards of the same inputs"
                )
        _unpack(path, results.out)


CURE = "delete the file, and run `densevl segment` again"


def _members(path: Path, ending: str = "") -> Iterator[tuple[str, bytes]]:
    """Names and contents of the files in a tar whose names end so."""
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                archive.members = []  # type: ignore[attr-defined]  # tarfile keeps what it has seen
                file = archive.extractfile(member) if member.isreg() and member.name.endswith(ending) else None
                if file is not None:
                    yield unquote(member.name), file.read()
    except (OSError, tarfile.TarError) as error:
        raise UsageError(f"{path} cannot be read ({error}); {CURE}") from None


def _packed(file: str, name: str) -> str:
    """The name of a file in a tar: the name of its image becomes a key, or the end of one."""
    match = re.match(rf"((?:.*/)?{re.escape(name)})(\..*)", file)
    stem, end = match.groups() if match else (file, "")
    return stem.replace("%", "%25").replace(".", "%2E") + end
