"""The list of a segmenting job, ``.done.jsonl``: what a run must know of each record, so that it need not read them.

The records are the truth, and the list is a cache of them. An entry counts where the record still has the bytes and the
time that the entry tells; any other record is read. So the list may be missing, old or cut short: that costs time, and
changes nothing. Lines are only ever added, by as many processes as there are; the last one about a record counts.
"""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

from densevl.api.jobs.manifest import MANIFEST
from densevl.core.files import atomic_write, file_state, parse_json
from densevl.core.geometry import Size

__all__ = ["LIST", "RECORD", "Done", "DoneList", "Listing"]

LIST, RECORD = ".done.jsonl", ".record.json"
"""The name of the list, and the end of the names of records."""

_STALE = 1000
"""Lines beside those that count which a list may have before it is written anew."""


class Done(NamedTuple):
    """What a run must know of an input that is done.

    Attributes:
        name: of its results.
        state: of the file of its record.
        source: the place of the image, and the state that it was in.
        file_name: of the image below the folder of images.
        size: (height, width).
        saved: the choice of instances that each format was written with.
        mask_maker: that was asked; None where none was.
        familiarity: what is known of the image's kind; None where nothing is.
        listed: whether the list tells it.
    """

    name: str
    state: tuple[int, ...]
    source: tuple[Any, ...]
    file_name: str
    size: Size
    saved: dict[str, str]
    mask_maker: str | None = None
    familiarity: dict[str, Any] | None = None
    listed: bool = False

    @property
    def place(self) -> str:
        """Where the image is."""
        return str(self.source[0])

    @classmethod
    def of(cls, name: str, state: tuple[int, ...], record: dict[str, Any], listed: bool = False) -> "Done":
        """Of a record, or of the line that tells it.

        Raises:
            KeyError, TypeError, ValueError: where it is neither.
        """
        image, saved = record["image"], record["saved"]
        size = (int(image["height"]), int(image["width"]))
        if not isinstance(saved, dict) or not record["source"]:
            raise ValueError("no record")
        source, maker, kind = tuple(record["source"]), record.get("mask_maker"), record.get("familiarity")
        return cls(name, state, source, str(image["file_name"]), size, saved, maker, kind, listed)


class DoneList:
    """The inputs of a folder that are done.

    Args:
        out: the folder.
        settings: fingerprint of everything that decides a result; records of other settings do not count.
    """

    def __init__(self, out: Path, settings: str) -> None:
        self.out, self.settings, self.path = out, settings, out / LIST
        self._lines: dict[str, int] | None = None
        self._file: IO[bytes] | None = None
        self._joined: dict[str, dict[str, Any]] = {}
        self._count = 0
        self._last: Done | None = None
        self._before = _as_line({"settings": settings, "name": ""})[1:-2]

    def refresh(self) -> None:
        """Look anew which records there are, and what the list tells of them."""
        lines = dict.fromkeys(_names(self.out), -1)
        self._joined, self._count, self._last, start = {}, 0, None, 0
        self._close()
        with suppress(FileNotFoundError):
            self._file = self.path.open("rb")
        for line in self._file or ():
            name = self._name(line)
            if name in lines:
                lines[name] = start
            start += len(line)
            self._count += 1
        self._lines = lines

    def _name(self, line: bytes) -> str:
        """The name that a line is about; empty where it is about something else, which is noted."""
        start = len(self._before)
        end = line.find(b'"', start)
        if line.startswith(self._before) and b"\\" not in line[start:end]:  # without reading all of it
            return line[start:end].decode(errors="replace")
        told = _told(line)
        if told.get("settings") == self.settings and "joined" in told:
            self._joined[told["joined"]] = told
        return str(told.get("name", "")) if told.get("settings") == self.settings else ""

    @property
    def lines(self) -> dict[str, int]:
        """The names of all records, each with the byte at which its line begins, or -1."""
        if self._lines is None:
            self.refresh()
        return self._lines or {}

    def get(self, name: str) -> Done | None:
        """What is known of an input; None where there is no record of these settings."""
        start = self.lines.get(name)
        if start is None:
            return None
        if self._last is None or self._last.name != name:
            self._last = self._found(name, start)
        return self._last

    def _found(self, name: str, start: int) -> Done | None:
        state = file_state(f"{self.out}/{name}{RECORD}")
        if state and start >= 0:
            told = _told(self._line(start))
            if told.get("name") == name and told.get("record") == [*state]:
                with suppress(KeyError, TypeError, ValueError):
                    return Done.of(name, state, told, listed=True)
        return self.read_done(name) if state else None

    def read_done(self, name: str) -> Done | None:
        """What the record of an input tells now, whatever the list does; None where there is none."""
        found = self.read(name)
        if found is not None:
            with suppress(KeyError, TypeError, ValueError):
                return Done.of(name, *found)
        return None

    def read(self, name: str) -> tuple[tuple[int, ...], dict[str, Any]] | None:
        """The record of an input and the state of its file; None where there is none of these settings."""
        try:
            with open(f"{self.out}/{name}{RECORD}", "rb") as file:
                status = os.fstat(file.fileno())
                record: dict[str, Any] = parse_json(file.read())
            usable = record["settings"] == self.settings and record["source"] and isinstance(record["saved"], dict)
            return ((status.st_size, status.st_mtime_ns), record) if usable else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, name: str, record: dict[str, Any]) -> Done:
        """Write a record, and add it to the list.

        Raises:
            OutputError: where it cannot be written.
        """
        with atomic_write(self.out / f"{name}{RECORD}") as temporary:
            temporary.write_text(json.dumps(record, ensure_ascii=False), encoding="utf-8")
            state = file_state(temporary)
        done = Done.of(name, state, record)
        self.add(done)
        return done

    def add(self, done: Done) -> None:
        """Add an input to the list."""
        height, width = done.size
        told: dict[str, Any] = {"settings": self.settings, "name": done.name, "record": done.state}
        told["image"] = {"file_name": done.file_name, "height": height, "width": width}
        told |= {"source": done.source, "saved": done.saved}
        told |= {key: getattr(done, key) for key in ("mask_maker", "familiarity") if getattr(done, key) is not None}
        self._append(told)

    def joined(self, name: str) -> dict[str, Any]:
        """What is known of the joined files of a format."""
        _ = self.lines
        return self._joined.get(name, {})

    def add_joined(self, name: str, digest: str, states: list[tuple[int, ...]]) -> None:
        """Add the joined files of a format to the list.

        Args:
            name: of the format.
            digest: of what was joined.
            states: of the files.
        """
        self._append({"settings": self.settings, "joined": name, "of": digest, "files": states})

    def compact(self) -> None:
        """Write the list anew where most of its lines are old; the caller holds the lock of the folder."""
        if self._count <= 2 * len(self.lines) + _STALE:
            return
        self.refresh()
        starts = sorted(start for start in self.lines.values() if start >= 0)
        with atomic_write(self.path) as temporary:
            with temporary.open("wb") as file:
                file.writelines(b"\n" + self._line(start) for start in starts)
                file.writelines(map(_as_line, self._joined.values()))
            self._close()
        self.refresh()

    def _append(self, told: dict[str, Any]) -> None:
        line, self._last = _as_line(told), None
        with suppress(OSError):  # it is a cache: what it does not tell is read
            file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                os.write(file, line)
            finally:
                os.close(file)

    def _line(self, start: int) -> bytes:
        """The line that begins at a byte."""
        if self._file is None:
            return b""
        self._file.seek(start)
        return self._file.readline().rstrip(b"\n")

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None


class Listing:
    """The names in the folders of results; a folder is listed once, when it is first asked for.

    Args:
        out: the folder of results.
    """

    _MOST = 16

    def __init__(self, out: Path) -> None:
        self.out = out
        self._folders: dict[str, set[str]] = {}

    def has(self, file: str) -> bool:
        """True where there is a file of this path below the folder of results."""
        folder, _, name = file.rpartition("/")
        if folder not in self._folders:
            if len(self._folders) == self._MOST:
                del self._folders[next(iter(self._folders))]
            self._folders[folder] = set()
            with suppress(OSError), os.scandir(self.out / folder) as entries:
                self._folders[folder] = {entry.name for entry in entries if entry.is_file()}
        return name in self._folders[folder]


def _as_line(told: dict[str, Any]) -> bytes:
    """A line with its break before it, so that one that was cut short spoils no other."""
    return b"\n" + json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()


def _told(line: bytes) -> dict[str, Any]:
    """What a line tells; nothing where it was cut short."""
    try:
        told = parse_json(line.decode())
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _names(out: Path) -> Iterator[str]:
    """The names of all records; folders below that hold jobs of their own are passed over."""
    waiting = [""]
    while waiting:
        before = waiting.pop()
        inner = []
        try:
            with os.scandir(out / before) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        inner.append(f"{before}{entry.name}/")
                    elif entry.name.endswith(RECORD) and not entry.name.startswith("."):
                        yield f"{before}{entry.name.removesuffix(RECORD)}"
        except OSError:
            continue
        waiting += [folder for folder in inner if not os.path.exists(out / folder / MANIFEST)]
