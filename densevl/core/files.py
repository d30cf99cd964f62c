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
from pathlib import Path
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
    _refuse_url(path)
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


def _refuse_url(path: Path) -> None:
    """Refuse what was a URL before it became a path, rather than to make a folder of its name.

    Raises:
        OutputError: where it was one.
    """
    if re.match(r"[a-z][a-z0-9+.-]+:$", (path.parts or ("",))[0], re.IGNORECASE) and not os.path.isdir(path.parts[0]):
        raise OutputError(
            f"cannot write {path}: results are written to a folder of this machine; name one, and sync it to the "
            "bucket (aws s3 sync, gcloud storage rsync)"
        )


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
    _refuse_url(Path(folder))
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


@dataclass(frozen=True, slots=True, init=False)
class InputFile:
    """An image file to read and the name of its results; a folder may have millions, so it holds two texts alone.

    Attributes:
        name: the file, as given.
        relative: path below the folder or glob that led to it, ``/`` between its names and without the image's suffix:
            ``day1/cat``. No two inputs of one call share it: it keeps the suffix where ``cat.jpg`` and ``cat.png`` lie
            together, and takes in the folders above where two arguments lead to files of one name.
    """

    name: str
    relative: str

    def __init__(self, name: str | os.PathLike[str], relative: str) -> None:
        object.__setattr__(self, "name", os.fspath(name))
        object.__setattr__(self, "relative", relative)

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.name)

    @property
    def place(self) -> str:
        """The file from the root."""
        return os.path.abspath(self.name)

    def state(self) -> tuple[int, ...]:
        """Bytes and time of the last change."""
        return file_state(self.name)

    def read(self) -> "np.ndarray":
        """The image, uint8 RGB (H, W, 3).

        Raises:
            ImageError: where the file cannot be read or is no image.
        """
        from densevl.core.images import read_image  # here: what writes files alone needs no OpenCV

        return read_image(self.name)


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
    found: dict[str, tuple[Path, str]] = {}
    missing = []
    for argument in [os.fspath(argument) for argument in arguments]:
        root, paths = expand_argument(argument, exclude)
        if not paths:
            missing.append(nothing_found(argument))
        for path in paths:
            found.setdefault(os.path.abspath(path), (root, path))
    if missing:
        raise UsageError("; ".join(missing))
    names = distinct_names([below(path, root) for root, path in found.values()])
    return [InputFile(path, name) for (_, path), name in zip(found.values(), names, strict=True)]


def expand_argument(argument: str, exclude: str | os.PathLike[str] | None = None) -> tuple[Path, list[str]]:
    """The folder that results mirror and the images below it, of a file, a folder or a glob.

    Args:
        argument: the file, the folder or the glob; ``~`` is the home.
        exclude: folder whose files do not count unless they are named themselves.

    Raises:
        UsageError: where a folder cannot be listed.
    """
    argument = os.path.expanduser(argument)
    excluded = None if exclude is None else os.path.abspath(exclude)
    if os.path.isdir(argument):
        root = Path(argument)
        return root, sorted(_images_below(str(root), excluded), key=natural_order)
    if os.path.lexists(argument):
        return Path(argument).parent, [str(Path(argument))]
    root = Path(*takewhile(lambda name: not has_magic(name), Path(argument).parts))
    paths = [str(Path(path)) for path in iglob(argument, recursive=True)] if has_magic(argument) else []
    images = [path for path in paths if _is_image(os.path.basename(path)) and os.path.isfile(path)]
    return root, sorted((path for path in images if not _is_in(os.path.dirname(path), excluded)), key=natural_order)


def _images_below(folder: str, excluded: str | None) -> Iterator[str]:
    """The images of a folder and of those below it, each with the folder before its name."""
    if _is_in(folder, excluded):
        return
    inner = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    inner.append(entry.name)
                elif _is_image(entry.name) and entry.is_file():
                    yield _joined(folder, entry.name)
    except OSError as error:
        raise UsageError(f"cannot list the folder {error.filename}: {error.strerror}") from None
    for name in inner:
        if not name.startswith("."):
            yield from _images_below(_joined(folder, name), excluded)


def _joined(folder: str, name: str) -> str:
    return name if folder == os.curdir else os.path.join(folder, name)


def _is_image(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES


def _is_in(folder: str, outer: str | None) -> bool:
    """True where a folder is another one, or lies in it."""
    inside = os.path.abspath(folder)
    return outer is not None and (inside == outer or inside.startswith(os.path.join(outer, "")))


def natural_order(path: str | os.PathLike[str]) -> str:
    """A key that sorts as people count: ``img2`` before ``img10``, names of a folder together.

    A number is written with its length before it, and ends of names with a character that comes before all others.
    """
    return _NUMBER.sub(_counted, os.fspath(path).casefold().replace(os.sep, "\0").replace("/", "\0"))


_NUMBER = re.compile(r"\d+")


def _counted(number: re.Match[str]) -> str:
    digits = str(int(number[0]))
    return f"\1{chr(len(digits))}{digits}"


def nothing_found(argument: str) -> str:
    """The error of an argument that leads to no image, in words."""
    kinds = ", ".join(suffix.removeprefix(".") for suffix in SUFFIXES)
    if os.path.isdir(argument):
        return f"no image ({kinds}) in the folder {argument!r}"
    if "://" in argument:
        return f"{argument!r} is a URL, and this reads files of this machine; fetch it and name the files"
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


class below:
    """Ever longer names of the results of a file, none of which leads out of their folder.

    Args:
        path: the file.
        root: a folder above it, whose structure the results mirror.
    """

    __slots__ = ("length", "path", "root")

    def __init__(self, path: str | os.PathLike[str], root: Path) -> None:
        self.path, self.root, self.length = os.fspath(path), root, 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if not self.length:
            folder, slash, name = self._inside().rpartition("/")
            self.length = folder.count("/") + 1 + bool(slash)
            dot = name.rfind(".")
            return folder + slash + (name[:dot] if 0 < dot < len(name) - 1 else name)
        names = Path(os.path.abspath(self.path)).parts[1:]
        if self.length > len(names):
            raise StopIteration
        self.length += 1
        return "/".join(names[-self.length + 1 :])

    def _inside(self) -> str:
        """The path from the root; the name alone where that would lead out of it."""
        before = "" if self.root == Path() else os.path.join(self.root, "")
        inside = self.path.removeprefix(before).replace(os.sep, "/")
        leads_out = inside.startswith("/") or ".." in inside.split("/")
        return inside.rpartition("/")[2] if leads_out else inside


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
