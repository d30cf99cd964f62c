"""Images in tar archives, here or in a bucket, read where they lie and never extracted.

Only regular files count. Links are not followed, and names that lead out of the archive are refused, such as
``../evil.jpg`` and ``/evil.jpg``; each of these comes as an input that cannot be read. Where a name comes twice, the
last one counts, as it does for ``tar``.
"""

import bz2
import gzip
import lzma
import os
import tarfile
import threading
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import UInt8

from densevl.core.errors import ImageError
from densevl.core.files import SUFFIXES
from densevl.core.images import decode_image
from densevl.core.inputs.contracts import MOST_BYTES, BrokenInput
from densevl.core.inputs.remote import open_stored, remote_bytes, stored_state

__all__ = ["Archive", "ArchivedImage", "is_archive"]

OPENERS: dict[str, Any] = {
    ".tar": open,
    ".tar.gz": gzip.open,
    ".tgz": gzip.open,
    ".tar.bz2": bz2.open,
    ".tbz2": bz2.open,
    ".tar.xz": lzma.open,
    ".txz": lzma.open,
}
"""What opens an archive, by the end of its name."""

BLOCK = tarfile.BLOCKSIZE
PASSED, MOST_PASSED = 4, 16 * 2**20
"""Gaps of a compressed archive that are kept when they are passed, and the bytes of one at most."""
DAMAGE = (ImageError, OSError, EOFError, lzma.LZMAError, zlib.error, tarfile.TarError, ValueError, OverflowError)
"""What reading a damaged archive raises."""


def is_archive(path: str | os.PathLike[str]) -> bool:
    """True where the name is that of an archive."""
    return os.fspath(path).lower().endswith(tuple(OPENERS))


@dataclass(frozen=True)
class ArchivedImage:
    """An image in an archive.

    Attributes:
        archive: that holds it.
        inside: its name there.
        start: of its bytes in the archive, decompressed.
        size: in bytes.
        relative: the name of its results.
    """

    archive: "Archive"
    inside: str
    start: int
    size: int
    relative: str = ""

    @property
    def name(self) -> str:
        """The archive as given, and the name in it."""
        return f"{self.archive.path}/{self.inside}"

    @property
    def place(self) -> str:
        """The archive from the root, and the name in it."""
        return f"{self.archive.place}/{self.inside}"

    def state(self) -> tuple[int, ...]:
        """State of the archive, and where the image lies in it."""
        state = self.archive.state()
        return (*state, self.start, self.size) if state else ()

    def read(self) -> UInt8[np.ndarray, "H W 3"]:
        """The image.

        Raises:
            ImageError: where the archive cannot be read, or this is no image.
        """
        if self.size > MOST_BYTES:
            raise ImageError(f"{self.name} has {self.size} bytes, above the limit of {MOST_BYTES}; extract it")
        return decode_image(self.archive.read(self.start, self.size, self.name), self.name)


@dataclass(frozen=True)
class Archive:
    """An archive of images; reading them about in their order passes once over a compressed one.

    In another process its images share one again, so that each process opens it once.

    Attributes:
        path: the file as given, or the URL of an object.
    """

    path: Path | str
    _lock: Any = field(default_factory=threading.Lock, repr=False, compare=False)
    _passed: deque[tuple[int, bytes]] = field(default_factory=lambda: deque(maxlen=PASSED), repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return _shared, (self.path, self.state())

    @property
    def place(self) -> str:
        """The file from the root, or the URL."""
        return self.path if isinstance(self.path, str) else os.path.abspath(self.path)

    def state(self) -> tuple[int, ...]:
        """The state of the file or object; nothing where it cannot be had."""
        return stored_state(self.path)

    def images(self) -> list[tuple[ArchivedImage | BrokenInput, str]]:
        """The images in their order, each with its name in the archive; the last one says what is damaged."""
        found: dict[str, tuple[ArchivedImage | BrokenInput, str]] = {}
        try:
            for member in self._members():
                item, inside = self._image(member)
                if inside:
                    found.pop(item.name, None)
                    found[item.name] = item, inside
        except DAMAGE as error:
            reason = f"the archive {self.path} is damaged or cut short after {len(found)} images: {_said(error)}"
            found[""] = (
                BrokenInput(str(self.path), self.place, f"{reason}; copy it again"),
                os.path.basename(self.path),
            )
        if not found:
            kinds = ", ".join(suffix.removeprefix(".") for suffix in SUFFIXES)
            reason = f"the archive {self.path} has no image ({kinds})"
            found[""] = BrokenInput(str(self.path), self.place, reason), os.path.basename(self.path)
        return list(found.values())

    def read(self, start: int, size: int, name: str) -> bytes:
        """Bytes of the archive, decompressed.

        Args:
            start: of the bytes.
            size: their number.
            name: what messages call them.

        Raises:
            ImageError: where they cannot be read.
        """
        if isinstance(self.path, str) and not self._is_packed:
            return remote_bytes(self.path, start, start + size)  # threads fetch at once
        with self._lock:
            try:
                data = self._found(start, size)
            except DAMAGE as error:
                raise ImageError(f"{name} cannot be read: {_said(error)}; copy the archive again") from error
        if len(data) < size:
            raise ImageError(f"{name} has {len(data)} of {size} bytes: the archive is cut short; copy it again")
        return data

    def _found(self, start: int, size: int) -> bytes:
        """Bytes, without going back where they were passed a moment ago: threads come a little out of order."""
        for begin, passed in self._passed:
            if begin <= start and start + size <= begin + len(passed):
                return passed[start - begin : start - begin + size]
        gap = start - self._file.tell()
        if self._is_packed and 0 < gap <= MOST_PASSED:
            self._passed.append((start - gap, self._file.read(gap)))
        else:
            self._file.seek(start)
        return bytes(self._file.read(size))

    @property
    def _is_packed(self) -> bool:
        return not os.fspath(self.path).lower().endswith(".tar")

    @cached_property
    def _file(self) -> Any:
        return _opened(self.path)

    def _members(self) -> Iterator[tarfile.TarInfo]:
        with _opened(self.path) as file, tarfile.TarFile(fileobj=file) as archive:
            yield from archive
            end = archive.offset  # of the block that ended the list: zeros, unless it is damaged
            file.seek(end)
            block = file.read(BLOCK)
        if not block:
            raise tarfile.ReadError("it has no end mark")
        if block.strip(b"\0"):
            raise tarfile.ReadError(f"no header at byte {end}")

    def _image(self, member: tarfile.TarInfo) -> tuple[ArchivedImage | BrokenInput, str]:
        """A member and its name; no name where it is none that counts."""
        path = PurePosixPath(member.name)
        if (
            member.isdir()
            or path.suffix.lower() not in SUFFIXES
            or any(part.startswith(".") for part in path.parts[-1:])
        ):
            return BrokenInput("", "", ""), ""
        inside = path.as_posix()
        name = f"{self.path}/{inside}"
        if path.is_absolute() or ".." in path.parts or "\0" in inside:
            wrong = "a name that leads out of the archive"
        elif not member.isreg() or member.issparse():
            wrong = f"a link to {member.linkname}" if member.issym() or member.islnk() else "no regular file"
        else:
            return ArchivedImage(self, inside, member.offset_data, member.size), inside
        reason = f"{name!r} is {wrong}, which is not read; extract the archive if you trust it"
        harmless = "/".join(part for part in path.parts if part not in ("/", "//", ".."))
        return BrokenInput(name, f"{self.place}/{inside}", reason), harmless


@lru_cache(maxsize=8)
def _shared(path: Path | str, state: tuple[int, ...]) -> Archive:
    """The archive that images share which come to this process one after the other."""
    return Archive(path)


def _opened(path: Path | str) -> Any:
    opener = next(opener for suffix, opener in OPENERS.items() if os.fspath(path).lower().endswith(suffix))
    stored = open_stored(path)
    return stored if opener is open else opener(stored, "rb")


def _said(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error) or type(error).__name__
