"""The file beside an index that says of each image whether it is of the kind that the model knows.

``familiarity.json`` is a JSON object of the test and of the images by their names, one in a line, so that it is read
and written image by image: an index may have millions.
"""

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from densevl.classifiers.familiarity import Familiarity
from densevl.core.files import atomic_write, parse_json
from densevl.tasks.search.image_paths import opened_path, stored_path

__all__ = ["FAMILIARITY", "Kinds", "read_familiarity"]

FAMILIARITY = "familiarity.json"

HEAD = struct.Struct("<d?")
"""The p-value of an image, and whether it counts as unknown; the numbers of its state follow."""

BEGIN, END = ', "images": {\n', "\n}}"


class Kinds:
    """What is said of the kinds of images, in a hundred bytes an image beside its name.

    Args:
        index: its folder.
        known: the test.
        anew: begin without what the file says.
    """

    def __init__(self, index: Path, known: Familiarity, anew: bool = False) -> None:
        self.index, self.known = index, known
        self._said: dict[str, bytes] = {}
        self._changed = anew
        try:
            for name, record in () if anew else _entries(index / FAMILIARITY, known.digest):
                self._said[name] = _packed(record, record["state"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error):
            self._said, self._changed = {}, True

    def note(self, place: str, record: Mapping[str, Any], state: tuple[int, ...]) -> None:
        """Take account of an image.

        Args:
            place: where it is.
            record: of its kind.
            state: of the image that was looked at.
        """
        self._said[stored_path(place, self.index)] = _packed(record, state)
        self._changed = True

    def of(self, place: str, state: tuple[int, ...]) -> dict[str, Any] | None:
        """The record of an image in a state; None where nothing is said of it."""
        packed = self._said.get(stored_path(place, self.index))
        if packed is None or packed[HEAD.size :] != _numbers(state):
            return None
        return self._record(packed)

    def _record(self, packed: bytes) -> dict[str, Any]:
        p, unknown = HEAD.unpack_from(packed)
        return {"p": p, "known": self.known.what, "unknown": unknown}

    def save(self) -> None:
        """Write what is said, where there is something new.

        Raises:
            OutputError: where the file cannot be written.
        """
        if not self._changed:
            return
        with atomic_write(self.index / FAMILIARITY) as temporary, temporary.open("w", encoding="utf-8") as file:
            file.write(f'{{"test": {json.dumps(self.known.digest)}{BEGIN}')
            before = ""
            for name, packed in self._said.items():
                state = struct.unpack(f"<{(len(packed) - HEAD.size) // 8}q", packed[HEAD.size :])
                record = json.dumps({**self._record(packed), "state": state}, ensure_ascii=False)
                file.write(f"{before}{json.dumps(name, ensure_ascii=False)}: {record}")
                before = ",\n"
            file.write(END)
        self._changed = False


def read_familiarity(index: Path, test: str | None = None) -> dict[str, dict[str, Any]]:
    """Whether images of an index are of the kind that its model knows, by their paths, as far as that was said.

    Args:
        index: its folder.
        test: the digest of the test whose answers count; None for any.
    """
    try:
        return {opened_path(name, index): dict(record) for name, record in _entries(index / FAMILIARITY, test)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _entries(path: Path, test: str | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """The images of a file and what it says of them; none where it is of another test."""
    with path.open(encoding="utf-8") as file:
        head = file.readline()
        if head.endswith(BEGIN):
            if test is None or parse_json(f"{head}}}}}")["test"] == test:
                for line in file:
                    if not line.startswith("}"):
                        yield from parse_json(f"{{{line.rstrip().rstrip(',')}}}").items()
            return
        said = parse_json(head + file.read())  # of an earlier version
        if test is None or said["test"] == test:
            yield from said["images"].items()


def _packed(record: Mapping[str, Any], state: Sequence[int]) -> bytes:
    return HEAD.pack(record["p"], record["unknown"]) + _numbers(state)


def _numbers(state: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(state)}q", *state)
