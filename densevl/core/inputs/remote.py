"""Images in buckets and in other places that fsspec reaches: ``s3://``, ``gs://``, ``az://``, ``hf://`` and so on.

An extra brings what reads S3 and Google Cloud Storage: ``densevl[buckets]``. These libraries find the credentials where
the tools of the stores keep them. A fault that passes is tried again. An object is told by its size and its ``ETag``,
or by what else its store says of its content.
"""

import io
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from glob import has_magic
from itertools import takewhile
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import UInt8

from densevl.core.errors import DensevlError, ImageError, UsageError, first_line
from densevl.core.files import file_state, natural_order
from densevl.core.images import decode_image
from densevl.core.inputs.contracts import MOST_BYTES, UrlImage
from densevl.core.inputs.urls import is_url, is_web, told_numbers

__all__ = [
    "RemoteImage",
    "find_remote",
    "is_remote",
    "open_stored",
    "remote_bytes",
    "remote_state",
    "stored_state",
    "usable",
]

Answer = TypeVar("Answer")

TRIES, WAIT = 4, 0.5
"""Times that something is asked for, and seconds before the second one; each wait is twice the one before."""
PATIENCE = 20.0
"""Seconds after which nothing is asked for again: some libraries have tried for half a minute themselves."""
BLOCK = 4 * 2**20
"""Bytes that are fetched together of an object which is read bit by bit."""

HERE = ("file", "local", "memory")
"""Protocols that need no network."""
PASSES = re.compile("Timeout|ConnectionClosed|Disconnect|Payload|IncompleteRead|SlowDown|ServerError")
"""Errors, by parts of their names, that are no ``OSError`` and may be gone a moment later."""
DENIED = re.compile("Credential|Forbidden|Unauthorized|Anonymous|RefreshError")
"""Errors, by parts of their names and messages, of those who may not read."""
LASTS = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)
STAMPS = ("ETag", "md5Hash", "etag", "blob_id", "content_md5", "LastModified", "last_modified", "mtime", "created")
"""What a store may say of the version of an object, the surest first."""


def is_remote(text: str) -> bool:
    """True where the text is a URL that fsspec reads: of any place but the web and this machine's files."""
    return is_url(text) and not is_web(text) and _protocol(text) not in HERE[:2]


def usable(url: str, offline: bool = False) -> str:
    """The URL, where its protocol can be read.

    Args:
        url: of an object or of several.
        offline: refuse the network.

    Raises:
        UsageError: where the protocol is unknown, what reads it is not installed, or it needs the network offline.
    """
    protocol = _protocol(url)
    if offline and protocol not in HERE:
        raise UsageError(f"{url} is on the network, which must not be used offline; fetch it and name the file")
    _check(protocol)
    return url


@lru_cache
def _check(protocol: str) -> None:
    _prepare()
    from fsspec.registry import get_filesystem_class, known_implementations

    try:
        get_filesystem_class(protocol)
    except ValueError:
        raise UsageError(
            f"nothing reads {protocol}:// here; name files, or objects of s3://, gs://, az:// or hf://"
        ) from None
    except ImportError:
        cure = "pip install 'densevl[buckets]'"
        if protocol not in ("s3", "s3a", "gs", "gcs"):
            cure = known_implementations[protocol].get("err", "install what fsspec names for it")
        raise UsageError(f"what reads {protocol}:// is not installed: {cure}") from None


@dataclass(frozen=True)
class RemoteImage(UrlImage):
    """An image in a bucket or in another place that fsspec reaches."""

    def state(self) -> tuple[int, ...]:
        """Numbers of the version that was listed, or else of the one that is there now."""
        if not self._seen:
            try:
                self._seen.append(remote_state(self.url))
            except ImageError:
                return ()
        return self._seen[0]

    def read(self) -> UInt8[np.ndarray, "H W 3"]:
        """The image.

        Raises:
            ImageError: where it cannot be had, is no image, or is too large.
        """
        return decode_image(self.encoded(), self.url)

    def encoded(self) -> bytes:
        """The object.

        Raises:
            ImageError: where it cannot be had, or is too large.
        """
        if not self._seen:
            self._seen.append(remote_state(self.url))
        size = self._seen[0][0]
        if size > MOST_BYTES:
            raise ImageError(f"{self.url} has {size} bytes, above the limit of {MOST_BYTES}; scale it down")
        return remote_bytes(self.url)


def find_remote(url: str, wanted: Callable[[str], bool]) -> Iterator[tuple[str, int, tuple[int, ...]]]:
    """The objects that a URL names: one object, all below a folder, or those that match a glob.

    Args:
        url: of a protocol that is usable.
        wanted: says of a name whether it counts; one object that is named itself always does.

    Yields:
        The URL of an object, the number of its parts below the folder that was named, and its state; in the natural
        order of the names.

    Raises:
        ImageError: where the place cannot be reached, or nothing is there.
    """
    fixed, found = url.rstrip("/") + "/", dict[str, Any]()
    if has_magic(url):
        fixed = "/".join(takewhile(lambda part: not has_magic(part), url.split("/"))) + "/"
        found = _ask(url, lambda files, path: files.glob(path, detail=True))
    if not found:  # a name may have the signs of globs
        info = {"type": "directory"} if url.endswith("/") else _ask(url, lambda files, path: files.info(path))
        if info["type"] != "directory":
            yield url, 1, _state(info)
            return
        fixed = url.rstrip("/") + "/"
        found = _ask(url, lambda files, path: files.find(path, detail=True))
    root = _ask(fixed, lambda _, path: path.rstrip("/") + "/")
    for path in sorted(found, key=natural_order):
        inner = path.removeprefix(root).lstrip("/").split("/")
        hidden = any(part.startswith(".") for part in inner)
        if found[path]["type"] != "directory" and not hidden and wanted(path):
            yield fixed + "/".join(inner), len(inner), _state(found[path])


def remote_state(url: str) -> tuple[int, ...]:
    """Bytes of an object, and a number that tells its version.

    Raises:
        ImageError: where it cannot be had.
    """
    return _state(_ask(url, lambda files, path: files.info(path)))


def remote_bytes(url: str, start: int | None = None, end: int | None = None) -> bytes:
    """Bytes of an object, all or some.

    Args:
        url: of the object.
        start: of the bytes.
        end: behind the last of them.

    Raises:
        ImageError: where they cannot be had.
    """
    return bytes(_ask(url, lambda files, path: files.cat_file(path, start=start, end=end)))


def stored_state(path: Path | str) -> tuple[int, ...]:
    """The state of a file, or of the object at a URL; nothing where it cannot be had."""
    if isinstance(path, Path):
        return file_state(path)
    try:
        return remote_state(path)
    except ImageError:
        return ()


def open_stored(path: Path | str) -> Any:
    """A file, or the object at a URL, to read.

    Raises:
        ImageError: where the object cannot be had; while it is read, too.
        OSError: where the file cannot be opened.
    """
    return path.open("rb") if isinstance(path, Path) else io.BufferedReader(_Object(path), BLOCK)


class _Object(io.RawIOBase):
    """An object of a store as a file; what is read of it is asked for again where a fault may pass.

    Args:
        url: of the object.
    """

    def __init__(self, url: str) -> None:
        self._url, self._place, self._size = url, 0, remote_state(url)[0]
        self.name, self.mode = url, "rb"

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        return self._place

    def readinto(self, buffer: Any) -> int:
        end = min(self._place + len(buffer), self._size)
        if self._place >= end:
            return 0
        data = remote_bytes(self._url, self._place, end)
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)


def _ask(url: str, ask: Callable[[Any, str], Answer]) -> Answer:
    """An answer of the file system of a URL, which is asked again where a fault may pass."""
    start = time.monotonic()
    for tried in range(1, TRIES + 1):
        try:
            return ask(*_store(url))
        except DensevlError:
            raise
        except Exception as error:  # each store has errors of its own, without a base that they share
            passes = isinstance(error, OSError) and not (isinstance(error, LASTS) or _is_denied(error))
            passes = passes or PASSES.search(type(error).__name__) is not None
            if passes and tried < TRIES and time.monotonic() - start < PATIENCE:
                time.sleep(WAIT * 2 ** (tried - 1))
                continue
            raise ImageError(f"{url} {_reason(error)}") from error
    raise AssertionError


def _store(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it; threads share one where it can be shared.

    fsspec makes one for each thread, and each of them looks for credentials, which may take seconds.
    """
    from fsspec.core import url_to_fs

    _prepare()
    with _LOCK:
        files = _shared(os.getpid(), "/".join(url.split("/")[:3]))
    if files.async_impl:
        return files, str(files._strip_protocol(url))
    files, path = url_to_fs(url, use_listings_cache=False)
    return files, str(path)


@lru_cache(maxsize=32)
def _shared(process: int, root: str) -> Any:
    """The file system of all below a URL, of this process."""
    from fsspec.core import url_to_fs

    return url_to_fs(root, use_listings_cache=False)[0]


_LOCK = threading.Lock()


@lru_cache
def _prepare() -> None:
    """Let the libraries of stores say nothing beside the errors that they raise, and ask nothing of each bucket first.

    gcsfs looks up of what kind a bucket is, at each access where it may not know; a variable of its own brings that
    back, for zonal buckets.
    """
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    for name in ("gcsfs", "google.auth"):
        if logging.getLogger(name).level == logging.NOTSET:
            logging.getLogger(name).setLevel(logging.CRITICAL)


def _is_denied(error: Exception) -> bool:
    return isinstance(error, PermissionError) or DENIED.search(f"{type(error).__name__} {error}") is not None


def _reason(error: Exception) -> str:
    said, name = first_line(error), type(error).__name__
    if "bucket" in said.lower() and ("exist" in said or "not found" in said.lower()):
        return "is in a bucket that does not exist; check its name"
    if isinstance(error, FileNotFoundError):
        return "is not there; check the address"
    if _is_denied(error):
        return (
            f"cannot be read without credentials that allow it ({said}); give those that the tools of the store use "
            "(aws configure; gcloud auth application-default login), or for a public bucket say that there are none "
            "(FSSPEC_S3_ANON=true; FSSPEC_GS_TOKEN=anon)"
        )
    return f"cannot be had: {name}: {said}; check the address and the network"


def _protocol(url: str) -> str:
    return url.partition("://")[0].lower()


def _state(info: dict[str, Any]) -> tuple[int, ...]:
    told = next((info[name] for name in STAMPS if info.get(name) is not None), "")
    return told_numbers(int(info.get("size") or 0), str(told).encode())
