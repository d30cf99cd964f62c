"""The files of an index: a folder of parts, or one part alone, each file whole or not at all.

A part is ``part-00000.safetensors`` or ``part-00000.parquet``; the suffix chooses. No file holds anything that is
executed when it is read. Two runs over the same images in the same place beside it write the same bytes.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from densevl.core.errors import UsageError, shortened, suggestion
from densevl.core.files import atomic_write
from densevl.tasks.search.image_paths import stored_path
from densevl.tasks.search.part import Part

__all__ = ["FORMATS", "is_index", "next_part", "open_part", "open_parts", "part_files", "write_part"]

FORMATS = ("safetensors", "parquet")
"""Suffixes of the parts."""


def is_index(path: str | Path) -> bool:
    """True where there is an index: a folder with parts, or a file whose suffix is that of one."""
    path = Path(path)
    return bool(part_files(path)) if path.is_dir() else path.is_file() and path.suffix[1:] in FORMATS


def part_files(folder: str | Path) -> list[Path]:
    """The parts of a folder in their order."""
    named = (path for path in Path(folder).glob("part-*") if re.fullmatch(r"part-\d+", path.stem))
    return sorted((path for path in named if path.suffix[1:] in FORMATS), key=lambda path: int(path.stem[5:]))


def next_part(folder: str | Path, form: str) -> Path:
    """The file of the part that is written next."""
    if form not in FORMATS:
        raise UsageError(f"format {form!r} is unknown; {suggestion(str(form), FORMATS)}")
    found = part_files(folder)
    number = int(found[-1].stem[5:]) + 1 if found else 0
    return Path(folder) / f"part-{number:05}.{form}"


def open_parts(path: str | Path, known: Sequence[Part] = ()) -> list[Part]:
    """The parts of a folder, or that of a file.

    Args:
        path: of the folder or the file.
        known: parts that were opened before, which are taken again where their files are what they were.

    Raises:
        UsageError: where there is none, or one is damaged.
    """
    if not isinstance(path, str | Path):
        raise UsageError(f"an index is a folder or a file; got {shortened(repr(path))}")
    path = Path(path)
    if not os.path.exists(path):
        raise UsageError(f"there is no index {path}; make one with `densevl embed IMAGES --out {path}`")
    files = part_files(path) if path.is_dir() else [path]
    if not files:
        raise UsageError(f"the folder {path} holds no index; make one with `densevl embed IMAGES --out {path}`")
    opened = {part.file: part for part in known if part.file}
    try:
        return [opened.get(_file_state(file)) or open_part(file) for file in files]
    except UsageError:
        if all(file.exists() for file in files):
            raise
        return open_parts(path, known)  # an index that was begun anew meanwhile


def open_part(path: str | Path) -> Part:
    """One part; its vectors and masks are read when they are needed.

    Raises:
        UsageError: where the file is no part of an index, or damaged.
    """
    path = Path(path)
    if path.suffix == ".parquet":
        from densevl.tasks.search.parquet_part import open_parquet as opened
    else:
        from densevl.tasks.search.safetensors_part import open_safetensors as opened
    state = _file_state(path)  # before it is opened: a file that is replaced meanwhile is opened again the next time
    return replace(opened(path), file=state)


def _file_state(path: Path) -> tuple[str | int, ...]:
    """What tells a file from one that has taken its place; empty where there is none."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return (str(path.absolute()), found.st_ino, found.st_size, found.st_mtime_ns)


def write_part(part: Part, path: str | Path, store: str | None = None) -> None:
    """Write a part; the suffix chooses the format, and images beside it are named relative to it.

    Args:
        part: what to write.
        path: of its file.
        store: of its vectors, one of :data:`densevl.tasks.search.stores.STORES`; None for the one that it has.

    Raises:
        OutputError: where the file cannot be written.
        UsageError: where the suffix is another, the store is unknown, or what writes Parquet is missing.
    """
    path = Path(path)
    part = part if store is None else part.kept_as(store)
    if path.suffix[1:] not in FORMATS:
        raise UsageError(f"an index is written as {' or '.join(f'.{form}' for form in FORMATS)}; got {path.name!r}")
    images = tuple(replace(image, path=stored_path(image.path, path.parent)) for image in part.images)
    stored = replace(part, images=images)
    with atomic_write(path) as temporary:
        if path.suffix == ".parquet":
            from densevl.tasks.search.parquet_part import write_parquet

            write_parquet(stored, temporary)
        else:
            from densevl.tasks.search.safetensors_part import write_safetensors

            write_safetensors(stored, temporary)
