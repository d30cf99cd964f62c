"""Fetching one file over HTTP: resumed where it stopped, checked before it appears under its name.

The transfer is our own because neither ``huggingface_hub`` (2.4) nor ``pooch`` (1.9) goes on with what an earlier
program had fetched: both write to a temporary file of their own, which is removed when the attempt fails.
"""

import hashlib
import shutil
import time
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any, BinaryIO
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from tqdm import tqdm

from densevl.core.errors import WeightsError

__all__ = ["TransferError", "download", "file_digest", "file_sha256", "hash_name"]

TIMEOUT = 10.0
"""Seconds to wait for a connection, and for each next piece of the file."""
PATIENCE = 3
"""How many attempts in a row may bring nothing, once something has come."""
PAUSE = 1.0
"""Seconds between attempts."""
CHUNK = 1 << 20


class TransferError(WeightsError):
    """The server cannot be reached, or does not have the file."""


def download(url: str, target: Path, *, digest: str, size: int | None = None, progress: bool = True) -> None:
    """Fetch a file; it appears as ``target`` only when it is complete and has the given hash.

    What has come so far is kept beside ``target`` when the connection breaks or the program is stopped, and the next
    call goes on from there.

    Args:
        url: where the file is; redirects are followed.
        target: where it shall lie; its folder exists.
        digest: hash of the whole file, as :func:`file_digest` computes it.
        size: in bytes; taken from the server's answer where it is None.
        progress: whether to show a progress bar, where standard error is a terminal.

    Raises:
        TransferError: where the server cannot be reached, refuses, or keeps breaking off.
        WeightsError: where the disk is full or the file has another hash; then what came is removed.
    """
    partial = target.with_name(f".{target.name}.{digest[:12]}.part")
    try:
        with partial.open("ab") as file, _bar(target.name, progress) as bar:
            _Transfer(url, file, size, bar).run()
    except _DiskError as error:
        raise WeightsError(
            f"cannot write {partial}: {error}; make room, or set DENSEVL_CACHE to a folder on another disk"
        ) from error
    except OSError as error:
        raise WeightsError(f"cannot write {partial}: {error.strerror or error}; check who owns its folder") from error
    finally:
        with suppress(OSError):
            if not partial.stat().st_size:
                partial.unlink()
    found = file_digest(partial, like=digest)
    if found != digest:
        page = "; what came is a web page: is there a login page in between?" if _is_page(partial) else ""
        length = partial.stat().st_size
        partial.unlink()
        raise WeightsError(
            f"{url} sent a file of {length} bytes with {hash_name(digest)} {found}, expected {digest}{page}. It was "
            "removed; "
            "try again, or fetch the file by hand from another place"
        )
    partial.replace(target)


def hash_name(digest: str) -> str:
    """The kind of a hexadecimal hash, by its length: ``"sha256"`` or ``"git blob id"``."""
    return "sha256" if len(digest) == 64 else "git blob id"


def file_digest(path: Path, like: str) -> str:
    """Hexadecimal hash of a file, of the kind that ``like`` is: SHA-256, or the id that git gives the content."""
    if hash_name(like) == "sha256":
        return file_sha256(path)
    return _hash(path, hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False))


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    return _hash(path, hashlib.sha256())


def _hash(path: Path, digest: Any) -> str:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return str(digest.hexdigest())


class _DiskError(Exception):
    """The disk does not take what the server sends."""


class _Transfer:
    """Appends to ``file`` until it is complete, over as many connections as it takes."""

    def __init__(self, url: str, file: BinaryIO, size: int | None, bar: tqdm) -> None:
        self.url, self.file, self.size, self.bar = url, file, size, bar
        self.host = urlsplit(url).netloc
        self.restarted = False

    @property
    def have(self) -> int:
        return self.file.tell()

    def run(self) -> None:
        arrived, idle = False, 0
        self._check_space()
        while self.have != self.size:
            before = self.have
            failure = self._attempt()
            grown = self.have > before
            arrived, idle = arrived or grown, 0 if grown else idle + 1
            if self.have == self.size:
                return
            if (failure and not arrived) or idle >= PATIENCE:
                reason = getattr(failure, "reason", None) or failure or "the server breaks off"
                raise TransferError(f"{self.host}: {reason}") from failure
            time.sleep(PAUSE)

    def _attempt(self) -> Exception | None:
        """One connection; what ended it, unless that was the end of the file."""
        request = Request(self.url, headers={"User-Agent": "densevl", "Accept-Encoding": "identity"})
        if self.have:
            request.add_header("Range", f"bytes={self.have}-")
        try:
            with urlopen(request, timeout=TIMEOUT) as answer:
                self._receive(answer)
        except HTTPError as error:
            if error.code == 416 and self.have and not self.restarted:
                self.restarted = True  # what came before is longer than the file
                self._start_again()
                return None
            if error.code not in (408, 429) and error.code < 500:
                raise TransferError(f"{self.host} answered {error.code} {error.reason}") from error
            return error
        except (HTTPException, OSError) as error:
            return error
        return None

    def _receive(self, answer: Any) -> None:
        if not answer.headers.get("Content-Range", "").startswith(f"bytes {self.have}-"):
            self._start_again()
        length = answer.headers.get("Content-Length")
        if length is not None and self.size is None:
            self.size = self.have + int(length)
            self._check_space()
        elif length is not None and self.size != self.have + int(length):
            kind = answer.headers.get("Content-Type", "unknown content")
            raise TransferError(f"{self.host} has {self.have + int(length)} bytes of {kind}, expected {self.size}")
        self.bar.total, self.bar.n = self.size, self.have
        while chunk := answer.read1(CHUNK):  # as it comes, so that little is lost when the program is killed
            try:
                self.file.write(chunk)
                self.file.flush()
            except OSError as error:
                raise _DiskError(error.strerror or str(error)) from error
            self.bar.update(len(chunk))
        if self.size is None:
            self.size = self.have

    def _start_again(self) -> None:
        self.file.seek(0)
        self.file.truncate()

    def _check_space(self) -> None:
        missing = (self.size or 0) - self.have
        if missing > shutil.disk_usage(Path(self.file.name).parent).free:
            raise _DiskError(f"{missing / 1e6:.0f} MB are still to come, and the disk has fewer")


def _bar(name: str, progress: bool) -> tqdm:
    hidden = None if progress else True  # None: tqdm looks whether standard error is a terminal
    return tqdm(desc=name, unit="B", unit_scale=True, disable=hidden)


def _is_page(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(512).lstrip().startswith(b"<")
