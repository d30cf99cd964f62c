"""Images that a data set could not use: counted, logged, and listed in a file."""

import os
from pathlib import Path

from mmengine.logging import print_log

from densevl.core.failures import Failure, add_failure

__all__ = ["LeftOut"]

LOGGED = 20
"""So many are logged one by one; after that only the file names each, and the log has the count now and then."""


class LeftOut:
    """Keeps account of what is left out of a training; each name counts once in a process.

    Args:
        source: what the data set reads, for messages.
        file: JSON lines of ``name`` and ``reason``, added to by every process and worker; None for none.

    Raises:
        OutputError: where the file cannot be written.
    """

    def __init__(self, source: str, file: str | Path | None = None) -> None:
        self.source, self.file = source, None if file is None else Path(file).expanduser()
        self._names: set[str] = set()

    def __len__(self) -> int:
        return len(self._names)

    def add(self, name: str, reason: object) -> None:
        """Take account of something that is left out."""
        if name in self._names:
            return
        self._names.add(name)
        if self.file is not None:
            add_failure(self.file, Failure(name, str(reason)))
        count = len(self)
        if count <= LOGGED or count % 10 ** (len(str(count)) - 1) == 0:
            print_log(f"left out of {self.source}, number {count} of process {os.getpid()}: {reason}", "current", 30)
