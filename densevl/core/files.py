"""Files: images found by their names, JSON read, results written whole or not at all."""

import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from glob import has_magic, iglob
from itertools import takewhile
from pathlib import Path, PurePath
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from densevl.core.errors import OutputError, UsageError

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "SUFFIXES",
    "InputFile",
    "atomic_write",
    "below",
    "distinct_names",
    "expand_argument",
    "expand_inputs",
    "file_state",
    "locked",
    "natural_order",
    "nothing_found",
    "parse_json",
    "read_json",
]


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary path that becomes ``path`` when the block ends, and vanishes when it fails.

        with atomic_write("out/a/labels.png") as temporary:
            image.save(temporary)

    Readers see the old file or the new one, never half of it, even where the process is killed. The temporary file
    lies in the folder of ``path`` (made where it is missing), is hidden and has the same suffix, so that writers which
    look at the suffix work. An existing file is replaced.

    Raises:
        OutputError: where the folder cannot be made or the file cannot be written, a full disk included. An
            ``OSError`` of the block that names another file is not touched.
    """
    path = Path(path)
    # Short on purpose: the longest name that a file may have leaves no room for a longer one.
    temporary = path.with_name(f".{token_hex(4)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        if error.filename is not None and not _is_about(error, path):
            raise
        reason = error.strerror or str(error)
        raise OutputError(f"cannot write {path}: {reason}; free space there or choose another place") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def _is_about(error: OSError, path: Path) -> bool:
    """True where the error names a file of the folder of ``path``, or a folder above."""
    named = Path(os.fsdecode(error.filename))
    return named.parent == path.parent or named in path.parents


@contextmanager
def locked(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Let no other process change the lists of a folder while the block runs; it waits for one that does.

    The block must not lock the folder again.

    Args:
        folder: the folder; made where it is missing.

    Raises:
        OutputError: where the folder cannot be written.
    """
    lock = FileLock(Path(folder) / ".lock")
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except (OSError, NotImplementedError) as error:
        raise OutputError(f"cannot write to {folder}: {_said(error)}; name another folder") from error
    try:
        yield
    finally:
        lock.release()


def _said(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


SUFFIXES = (".avif", ".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tga", ".tif", ".tiff", ".webp")
"""Suffixes of images in folders and globs, in either case; a file that is named itself may have any suffix."""


def file_state(path: str | os.PathLike[str]) -> tuple[int, ...]:
    """Bytes and time of the last change of a file, which differ once it is changed; nothing where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return ()
    return status.st_size, status.st_mtime_ns


@dataclass(frozen=True)
class InputFile:
    """An image file to read and the name of its results.

    Attributes:
        path: the file, as given.
        relative: path below the folder or glob that led to it, ``/`` between its names and without the image's suffix:
            ``day1/cat``. No two inputs of one call share it: it keeps the suffix where ``cat.jpg`` and ``cat.png`` lie
            together, and takes in the folders above where two arguments lead to files of one name.
    """

    path: Path
    relative: str

    @property
    def name(self) -> str:
        """The file as given."""
        return str(self.path)

    @property
    def place(self) -> str:
        """The file from the root."""
        return os.path.abspath(self.path)

    def state(self) -> tuple[int, ...]:
        """Bytes and time of the last change."""
        return file_state(self.path)

    def read(self) -> "np.ndarray":
        """The image, uint8 RGB (H, W, 3).

        Raises:
            ImageError: where the file cannot be read or is no image.
        """
        from densevl.core.images import read_image  # here: what writes files alone needs no OpenCV

        return read_image(self.path)


def expand_inputs(
    arguments: Sequence[str | os.PathLike[str]], exclude: str | os.PathLike[str] | None = None
) -> list[InputFile]:
    """The image files that files, folders (with all below them) and globs name.

    Arguments keep their order; within a folder or a glob the order is natural (``img2`` before ``img10``). A file that
    several arguments name comes once. Hidden files and folders are passed over, links to folders are not followed.

    Args:
        arguments: files, folders, or globs such as ``day*/*.jpg`` and ``photos/**/*.png``.
        exclude: folder whose files do not count unless they are named themselves: that of the results.

    Raises:
        UsageError: where an argument leads to no image, or a folder cannot be listed.
    """
    found: dict[str, tuple[Path, Path]] = {}
    missing = []
    for argument in [os.fspath(argument) for argument in arguments]:
        pairs = expand_argument(argument, exclude)
        if not pairs:
            missing.append(nothing_found(argument))
        for root, path in pairs:
            found.setdefault(os.path.abspath(path), (root, path))
    if missing:
        raise UsageError("; ".join(missing))
    names = distinct_names([below(path, root) for root, path in found.values()])
    return [InputFile(path, name) for (_, path), name in zip(found.values(), names, strict=True)]


def expand_argument(argument: str, exclude: str | os.PathLike[str] | None = None) -> list[tuple[Path, Path]]:
    """Pairs of the folder that results mirror and an image below it, of a file, a folder or a glob.

    Args:
        argument: the file, the folder or the glob; ``~`` is the home.
        exclude: folder whose files do not count unless they are named themselves.

    Raises:
        UsageError: where a folder cannot be listed.
    """
    argument = os.path.expanduser(argument)
    if os.path.isdir(argument):
        root = Path(argument)
        files = [Path(folder, file) for folder, _, names in _walk(argument) for file in names]
    elif os.path.lexists(argument):
        return [(Path(argument).parent, Path(argument))]
    else:
        fixed = takewhile(lambda name: not has_magic(name), Path(argument).parts)
        root = Path(*fixed)
        files = [Path(path) for path in iglob(argument, recursive=True)] if has_magic(argument) else []
    excluded = None if exclude is None else Path(os.path.abspath(exclude))
    images = [
        path
        for path in files
        if path.suffix.lower() in SUFFIXES
        and not path.name.startswith(".")
        and path.is_file()
        and (excluded is None or excluded not in Path(os.path.abspath(path)).parents)
    ]
    return [(root, path) for path in sorted(images, key=natural_order)]


def _walk(folder: str) -> Iterator[tuple[str, list[str], list[str]]]:
    def refuse(error: OSError) -> None:
        raise UsageError(f"cannot list the folder {error.filename}: {error.strerror}")

    for place, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield place, folders, files


def natural_order(path: PurePath) -> list[list[str | int]]:
    """A key that sorts as people count: ``img2`` before ``img10``, names of a folder together."""
    pieces = (re.split(r"(\d+)", name.casefold()) for name in path.parts)
    return [[int(piece) if i % 2 else piece for i, piece in enumerate(split)] for split in pieces]


def nothing_found(argument: str) -> str:
    """The error of an argument that leads to no image, in words."""
    kinds = ", ".join(suffix.removeprefix(".") for suffix in SUFFIXES)
    if os.path.isdir(argument):
        return f"no image ({kinds}) in the folder {argument!r}"
    if has_magic(argument):
        return f"no image ({kinds}) matches {argument!r}"
    return f"no such file or folder: {argument!r}"


def distinct_names(candidates: Sequence[Iterator[str]]) -> list[str]:
    """Names as short as can be; those that clash grow together until they differ.

    Args:
        candidates: ever longer names of each thing; the last ones are unique.
    """
    names = [next(longer) for longer in candidates]
    while True:
        uses = Counter(names)
        clashing = [index for index, name in enumerate(names) if uses[name] > 1]
        if not clashing:
            return names
        for index in clashing:
            names[index] = next(candidates[index], names[index])


def below(path: Path, root: Path) -> Iterator[str]:
    """Ever longer names of the results of a file, none of which leads out of their folder.

    Args:
        path: the file.
        root: a folder above it, whose structure the results mirror.
    """
    relative = path.relative_to(root)
    if ".." in relative.parts:
        relative = Path(path.name)
    yield relative.with_suffix("").as_posix()
    names = Path(os.path.abspath(path)).parts[1:]
    for length in range(len(relative.parts), len(names) + 1):
        yield "/".join(names[-length:])


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        json.JSONDecodeError: where it is no JSON, or its brackets are nested deeper than can be read.
        UnicodeDecodeError: where bytes are no text.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise json.JSONDecodeError("brackets are nested too deeply", "", 0) from None


def read_json(path: str | os.PathLike[str]) -> Any:
    """The value of a JSON file.

    Raises:
        UsageError: where the file is missing or no JSON.
    """
    try:
        return parse_json(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}; check the path") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not JSON: it is no UTF-8 text (byte {error.start})") from None
    except ValueError as error:
        raise UsageError(f"{path} is not JSON: {error}") from None
