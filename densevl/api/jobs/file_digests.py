"""Contents of files in short: a size and a hash, remembered so that a file that has not changed is not read again."""

import json
import struct
from pathlib import Path

from densevl.core.files import InputFile, atomic_write, file_state, parse_json
from densevl.core.inputs import Input
from densevl.tasks.search.image_paths import stored_path
from densevl.weights.download import file_sha256

__all__ = ["FileDigests", "full_state"]

DIGITS = 12
"""Hexadecimal digits of a hash that are kept: as a number they are exact wherever JSON is read."""


def full_state(item: Input) -> tuple[int, ...]:
    """Bytes of a file, the time of its last change and the beginning of its hash as a number, any process can tell.

    Of an input that is no file of its own it is its state; it is empty where the input cannot be had.

    Raises:
        UsageError: where what it needs is not installed.
    """
    return _measured(item.path, file_state(item.path)) if isinstance(item, InputFile) else item.state()


def _measured(path: Path, state: tuple[int, ...]) -> tuple[int, ...]:
    """The state of a file and the beginning of its hash; nothing where it cannot be read."""
    try:
        return (*state, int(file_sha256(path)[:DIGITS], 16)) if state else ()
    except OSError:
        return ()


NUMBERS = struct.Struct("<qqq")
"""Bytes, time of the last change and hash of a file, as they are held: a folder may have millions."""


class FileDigests:
    """Sizes and hashes of files.

    Args:
        kept: the file in which they are remembered by size and time of change. It holds nothing else and may be
            deleted: what lies beside it is read without it.
    """

    def __init__(self, kept: Path) -> None:
        self.kept = kept
        self._known: dict[str, bytes] = {}
        self._changed = False
        try:
            known = parse_json(kept.read_text(encoding="utf-8"))
            self._known = {path: NUMBERS.pack(*map(int, values)) for path, values in known.items()}
        except (OSError, ValueError, TypeError, AttributeError, struct.error):
            pass  # a file that is not there, or damaged, remembers nothing

    def of(self, path: Path) -> tuple[int, ...]:
        """Bytes of a file and the beginning of its SHA-256 as a number; nothing where it cannot be read."""
        state, known = file_state(path), self._known.get(self._name(path))
        if state and known is not None:
            size, changed, digest = NUMBERS.unpack(known)
            if (size, changed) == state:
                return size, digest
        return self.remember(path, _measured(path, state))

    def remember(self, path: Path, measured: tuple[int, ...]) -> tuple[int, ...]:
        """Remember what another process has measured of a file; gives what :meth:`of` gives.

        Args:
            path: the file.
            measured: see :func:`full_state`.
        """
        if not measured:
            return ()
        name, packed = self._name(path), NUMBERS.pack(*measured)
        if self._known.get(name) != packed:
            self._known[name] = packed
            self._changed = True
        return measured[0], measured[2]

    def _name(self, path: Path) -> str:
        return stored_path(str(path.absolute()), self.kept.parent)

    def save(self) -> None:
        """Write what is remembered, where there is something new.

        Raises:
            OutputError: where the file cannot be written.
        """
        if self._changed:
            with atomic_write(self.kept) as temporary, temporary.open("w", encoding="utf-8") as file:
                before = "{"
                for name, packed in self._known.items():  # one by one: there may be many
                    file.write(f"{before}{json.dumps(name, ensure_ascii=False)}: {list(NUMBERS.unpack(packed))}")
                    before = ", "
                file.write("{}" if before == "{" else "}")
            self._changed = False
