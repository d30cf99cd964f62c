"""The one folder where fetched weights lie, and the functions that fill it.

Each file lies at ``<cache>/<name>/<file>`` under its name on the hub, and beside it what was found when it was
checked. A file that was put there by hand is as good as a fetched one. A copy that other programs left in the hub's own
cache is used where it lies.
"""

import json
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from densevl.core.errors import OutputError, WeightsError, first_line
from densevl.core.files import atomic_write, parse_json
from densevl.weights.download import TIMEOUT, TransferError, download, file_digest, file_sha256, hash_name
from densevl.weights.table import DATA, WeightsEntry, weights_entry, weights_table

__all__ = ["cache_dir", "fetch", "is_cached", "is_offline", "location"]

YES = {"1", "true", "yes", "on"}


def cache_dir() -> Path:
    """The folder of everything that densevl keeps between runs: ``DENSEVL_CACHE``, else that of the platform."""
    chosen = os.environ.get("DENSEVL_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    home = os.environ.get("LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME")
    return Path(home or Path.home() / ".cache") / "densevl"


def location(entry: WeightsEntry, cache: str | Path | None = None) -> Path:
    """The path at which the file of an entry belongs. Nothing need be there."""
    if entry.packaged:
        return entry.folder / entry.file
    return (Path(cache).expanduser() if cache else cache_dir()) / "weights" / entry.name / entry.file


def is_cached(entry: WeightsEntry, cache: str | Path | None = None) -> bool:
    """True where a file of these weights is on this machine. Its content is not checked."""
    return location(entry, cache).is_file() or _in_hub_cache(entry) is not None


def is_offline(offline: bool = False) -> bool:
    """True where the caller or the environment forbids the network."""
    return offline or any(os.environ.get(name, "").lower() in YES for name in ("DENSEVL_OFFLINE", "HF_HUB_OFFLINE"))


def fetch(
    weights: str | Path | WeightsEntry,
    *,
    offline: bool = False,
    cache: str | Path | None = None,
    progress: bool = True,
) -> Path:
    """The file of some weights, fetched where it is not on this machine yet.

    Args:
        weights: a name of :func:`weights_table`, an entry, or the path of a file, which is returned as it is.
        offline: never reach for the network; so do ``DENSEVL_OFFLINE=1`` and ``HF_HUB_OFFLINE=1``.
        cache: folder to use in place of :func:`cache_dir`.
        progress: whether to show a progress bar, where standard error is a terminal.

    Raises:
        UsageError: where the name is unknown.
        WeightsError: where the file cannot be had, with what to fetch by hand and where to put it; or where it is
            not the file that it should be.
    """
    if not isinstance(weights, WeightsEntry):
        if str(weights) not in weights_table() and _is_path(weights):
            return _given(Path(weights).expanduser())
        weights = weights_entry(str(weights))
    target = location(weights, cache)
    if weights.packaged:
        if not target.is_file():
            owner = "densevl" if weights.folder == DATA else "its plug-in"
            raise WeightsError(f"{target}, a part of {owner}, is missing; install {owner} again")
        return target
    offline = is_offline(offline)
    here = _present(weights, target, offline)
    if here is not None:
        return here
    if offline:
        raise WeightsError(_by_hand(weights, target, "and densevl is set to stay offline"))
    with _lock(target, progress):
        return _present(weights, target, offline) or _download(weights, target, progress)


def _is_path(weights: str | Path) -> bool:
    return isinstance(weights, Path) or Path(weights).name != weights or bool(Path(weights).suffix)


def _given(path: Path) -> Path:
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise WeightsError(f"weights file {path} {what}; give a file, or one of {', '.join(weights_table())}")
    return path


def _present(entry: WeightsEntry, target: Path, offline: bool) -> Path | None:
    """A file that is on this machine already, checked now or before."""
    if target.is_file():
        seen = _recorded(target, _record(target))
        if seen is None or seen != (entry.digest or seen):
            _check_placed(entry, target, offline)
        return target
    copy = _in_hub_cache(entry)
    if copy is None:
        return None
    blob = copy.resolve().name  # the hub's own cache names each large file by its hash
    expected = entry.sha256 or (blob if _is_sha256(blob) else None)
    record = target.with_name(f".{target.name}.hub.json")
    found = _recorded(copy, record) or file_sha256(copy)
    if expected is None or found != expected:
        return None
    _write_record(copy, record, found)
    return copy


def _check_placed(entry: WeightsEntry, target: Path, offline: bool) -> None:
    """Check a file that was put in place by hand, or changed since it was checked."""
    digest, size = entry.digest, entry.size
    if digest is None and not offline:
        with suppress(TransferError):
            digest, size = _declared(entry)
    length = target.stat().st_size
    if size is not None and length != size:
        raise WeightsError(
            f"{target} has {length} bytes, expected {size}: it is incomplete or another file. {_again(entry)}"
        )
    if digest is None:
        found = file_sha256(target)
        warnings.warn(
            f"{target} cannot be checked from here; compare its sha256 {found} with {entry.page}", stacklevel=4
        )
        return
    found = file_digest(target, like=digest)
    if found != digest:
        raise WeightsError(
            f"{target} has {hash_name(digest)} {found}, expected {digest}: it is damaged or another file. "
            f"{_again(entry)}"
        )
    _write_record(target, _record(target), found)


def _download(entry: WeightsEntry, target: Path, progress: bool) -> Path:
    try:
        digest, size = _declared(entry)
        download(entry.address, target, digest=digest, size=size, progress=progress)
    except TransferError as error:
        raise WeightsError(_by_hand(entry, target, f"and cannot be fetched ({error})")) from None
    _write_record(target, _record(target), digest)
    return target


def _declared(entry: WeightsEntry) -> tuple[str, int | None]:
    """Hash and size that the file shall have: those of the table, else those that the hub declares."""
    if entry.digest is not None:
        return entry.digest, entry.size
    from huggingface_hub import get_hf_file_metadata

    address = urlsplit(entry.address)
    if address.scheme != "https" and address.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise TransferError(f"{address.netloc} is not reached by https, so the hash that it declares proves nothing")
    try:
        metadata = get_hf_file_metadata(entry.address, token=False, timeout=TIMEOUT)
    except Exception as error:  # requests, httpx or httpx2, by the version of huggingface_hub
        raise TransferError(f"{address.netloc}: {first_line(error)}") from error
    if not _is_sha256(metadata.etag or ""):
        raise TransferError(f"{address.netloc} declares no sha256 of the file")
    return str(metadata.etag), metadata.size


def _in_hub_cache(entry: WeightsEntry) -> Path | None:
    if entry.repository is None:
        return None
    from huggingface_hub import constants, try_to_load_from_cache

    found = try_to_load_from_cache(entry.repository, entry.file, constants.HF_HUB_CACHE, entry.revision)
    return Path(found) if isinstance(found, str) else None


def _is_sha256(text: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{64}", text) is not None


def _record(target: Path) -> Path:
    return target.with_name(f".{target.name}.checked.json")


def _recorded(file: Path, record: Path) -> str | None:
    """The hash that was found when the file was checked, unless it has changed since."""
    try:
        found = parse_json(record.read_text(encoding="utf-8"))
        state = file.stat()
        return str(found["digest"]) if [state.st_size, state.st_mtime_ns] == found["state"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_record(file: Path, record: Path, digest: str) -> None:
    state = file.stat()
    with suppress(OutputError), atomic_write(record) as temporary:  # a read-only cache is checked each time
        temporary.write_text(
            json.dumps({"digest": digest, "state": [state.st_size, state.st_mtime_ns]}), encoding="utf-8"
        )


@contextmanager
def _lock(target: Path, progress: bool) -> Iterator[None]:
    """One process at a time fetches a file; the others wait and find it."""
    from filelock import FileLock, Timeout

    lock = FileLock(target.with_name(f".{target.name}.lock"))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if progress:
                print(f"densevl: another process is fetching {target.name}; waiting for it", file=sys.stderr)
            lock.acquire()
    except OSError as error:
        raise WeightsError(
            f"cannot write to the cache {target.parent}: {error.strerror or error}; set DENSEVL_CACHE to another folder"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _again(entry: WeightsEntry) -> str:
    return f"Delete it and run again, or fetch {entry.address} anew"


def _by_hand(entry: WeightsEntry, target: Path, why: str) -> str:
    """Instructions for a file that cannot be fetched from here."""
    length = f"{entry.size} bytes" if entry.size else f"about {entry.bytes / 1e6:.0f} MB"
    origin = f"{entry.repository}, revision {entry.revision}, file {entry.file}" if entry.repository else entry.file
    if entry.digest is None and entry.repository is None:
        check = "no sha256 of it has been published: take it from there alone"
    elif entry.digest is None:
        check = f"its sha256 must be the one at {entry.page}"
    else:
        check = f"{'sha256sum' if entry.sha256 else 'git hash-object'} must print {entry.digest}"
    return (
        f"weights {entry.name!r} are not on this machine, {why}. On a machine with a network:\n"
        f"  fetch   {entry.address}\n"
        f"          ({origin}; {length}; licence {entry.licence})\n"
        f"  put at  {target}\n"
        f"  check   {check}\n"
        'or name the file itself: --weights FILE, in Python weights="FILE"'
    )
