"""Inputs that could not be used: a name and a reason for each, as a value and as a line of a file."""

import json
import os
from pathlib import Path
from typing import NamedTuple

from densevl.core.errors import OutputError

__all__ = ["FAILURES", "Failure", "add_failure"]

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
