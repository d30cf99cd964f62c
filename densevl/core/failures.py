"""Inputs that could not be used: a name and a reason for each, as a value, as a line of a file and as a list."""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from densevl.core.errors import OutputError
from densevl.core.files import atomic_write, locked, parse_json

__all__ = ["FAILURES", "Failure", "FailureList", "add_failure"]

FAILURES = "failures.jsonl"
"""The file in the folder of a run that lists its failures."""


class Failure(NamedTuple):
    """An input that gave no result.

    Attributes:
        name: its file, or its key in a shard.
        reason: what is wrong, and the cure.
    """

    name: str
    reason: str

    def as_line(self) -> str:
        """One line of JSON, with its end."""
        return json.dumps(self._asdict(), ensure_ascii=False) + "\n"


class FailureList:
    """The failures in a folder, which several processes may change at once; there is no file where there is none.

    Args:
        folder: the folder, not made before there is a failure.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FAILURES

    def read(self) -> list[Failure]:
        """The failures in the order of the list.

        Raises:
            OutputError: where the list cannot be read.
        """
        try:
            with _writing(self.path.parent):
                lines = self.path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        except ValueError as error:
            raise OutputError(f"{self.path} is no list of failures ({error}); delete it") from error
        return [failure for failure in map(_failure, lines) if failure is not None]

    def add(self, *failures: Failure) -> None:
        """Add failures.

        Raises:
            OutputError: where the list cannot be written.
        """
        if failures:
            with locked(self.path.parent):
                add_failure(self.path, *failures)

    def forget(self, gone: Callable[[str], bool] | None = None) -> None:
        """Take out the failures of inputs.

        Args:
            gone: says of a name that its failure does not count any more; None takes out all.

        Raises:
            OutputError: where the list cannot be written.
        """
        if gone is None:
            with _writing(self.path.parent):
                self.path.unlink(missing_ok=True)
        elif any(gone(failure.name) for failure in self.read()):
            with locked(self.path.parent):
                self.replace(failure for failure in self.read() if not gone(failure.name))

    def replace(self, failures: Iterable[Failure]) -> None:
        """Write the list anew, each failure once, in the order of the names; the caller holds the lock of the folder.

        Raises:
            OutputError: where the list cannot be written.
        """
        last = {failure.name: failure for failure in failures}
        text = "".join(failure.as_line() for failure in sorted(last.values()))
        if not text:
            self.path.unlink(missing_ok=True)
            return
        with atomic_write(self.path) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _failure(line: str) -> Failure | None:
    """The failure of a line; None where a process was killed while it wrote the line."""
    try:
        return Failure(**parse_json(line))
    except (ValueError, TypeError):
        return None


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write to {folder}: {error.strerror or error}; name another folder") from error


def add_failure(file: str | os.PathLike[str], *failures: Failure) -> None:
    """Add a line for each failure to a list; several processes may add to one list.

    Raises:
        OutputError: where the list cannot be written.
    """
    if not failures:
        return
    file = Path(file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as lines:  # one write: short lines of two processes do not mix
            lines.write("".join(failure.as_line() for failure in failures))
    except OSError as error:
        raise OutputError(f"cannot add to {file}: {error.strerror or error}; name another file") from error
