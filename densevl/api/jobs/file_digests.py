"""Contents of files in short: a size and a hash, remembered so that a file that has not changed is not read again."""

import json
from pathlib import Path

from densevl.core.files import atomic_write, file_state, parse_json
from densevl.tasks.search.image_paths import stored_path
from densevl.weights.download import file_sha256

__all__ = ["FileDigests"]

DIGITS = 12
"""Hexadecimal digits of a hash that are kept: as a number they are exact wherever JSON is read."""


class FileDigests:
    """Sizes and hashes of files.

    Args:
        kept: the file in which they are remembered by size and time of change. It holds nothing else and may be
            deleted: what lies beside it is read without it.
    """

    def __init__(self, kept: Path) -> None:
        self.kept = kept
        self._known: dict[str, list[int]] = {}
        self._changed = False
        try:
            known = parse_json(kept.read_text(encoding="utf-8"))
            self._known = {path: [int(value) for value in values] for path, values in known.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            pass  # a file that is not there, or damaged, remembers nothing

    def of(self, path: Path) -> tuple[int, ...]:
        """Bytes of a file and the beginning of its SHA-256 as a number; nothing where it cannot be read."""
        state, name = file_state(path), stored_path(str(path.absolute()), self.kept.parent)
        if not state:
            return ()
        if self._known.get(name, [])[:2] != list(state):
            try:
                self._known[name] = [*state, int(file_sha256(path)[:DIGITS], 16)]
            except OSError:
                return ()
            self._changed = True
        return state[0], self._known[name][2]

    def save(self) -> None:
        """Write what is remembered, where there is something new.

        Raises:
            OutputError: where the file cannot be written.
        """
        if self._changed:
            with atomic_write(self.kept) as temporary:
                temporary.write_text(json.dumps(self._known, ensure_ascii=False), encoding="utf-8")
            self._changed = False
