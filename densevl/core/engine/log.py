"""The log of a run: a line of JSON for each event, added to a file as it happens, for `jq` and for dashboards."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import Any

from densevl.core.engine.chunks import Stop
from densevl.core.engine.contracts import Item, Outcome
from densevl.core.errors import OutputError

__all__ = ["Log", "logged"]


class Log:
    """A file of events, each a whole line; several runs may add to it at once.

    Args:
        path: the file; made where it is missing.

    Raises:
        OutputError: where it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise self._error(error) from error

    def __enter__(self) -> "Log":
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close it."""
        os.close(self._file)

    def add(self, event: str, **facts: Any) -> None:
        """Add an event.

        Args:
            event: its name.
            facts: values that JSON knows.

        Raises:
            OutputError: where it cannot be written.
        """
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = (json.dumps({"time": now, "event": event, **facts}, ensure_ascii=False) + "\n").encode()
        try:
            written = os.write(self._file, line)
            if written < len(line):  # a full disk: the next write says so
                os.ftruncate(self._file, os.fstat(self._file).st_size - written)
                os.write(self._file, line)
        except OSError as error:
            raise self._error(error) from error

    def _error(self, error: OSError) -> OutputError:
        reason = error.strerror or str(error)
        return OutputError(f"cannot write the log {self.path}: {reason}; free space there or name another --log")


def logged(
    outcomes: Iterator[Outcome[Item, Any]], path: Path, items: int, **facts: Any
) -> Iterator[Outcome[Item, Any]]:
    """The outcomes of a run, which is written down: its start, each item, and its end, however it ends.

    Args:
        outcomes: of the run.
        path: of the log.
        items: that are to do.
        facts: of the run, for its start.

    Raises:
        OutputError: where the log cannot be written.
    """
    start, done, failed, reason = time.monotonic(), 0, 0, None

    def counts() -> dict[str, Any]:
        seconds = time.monotonic() - start
        rate = round((done + failed) / seconds, 3) if seconds else 0.0
        return {"done": done, "failed": failed, "seconds": round(seconds, 3), "items_a_second": rate}

    with Log(path) as log, closing(outcomes):  # type: ignore[type-var]  # generators can be closed
        log.add("started", items=items, **facts)
        try:
            for outcome in outcomes:
                took = outcome.took
                own: dict[str, Any] = {"place": outcome.item.place}
                own["worker"] = None if took is None else took.worker
                steps = ("read", "make", "write")
                own["took"] = None if took is None else {step: round(getattr(took, step), 6) for step in steps}
                stop = outcome.said.text if isinstance(outcome.said, Stop) else None
                why = stop if outcome.failure is None else outcome.failure.reason
                if why is None:
                    done += 1
                    log.add("done", **own)
                else:
                    failed += 1
                    log.add("failed", **own, reason=why)
                yield outcome
        except GeneratorExit:
            reason = "left by the program"
            raise
        except BaseException as error:
            reason = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error) or type(error).__name__
            raise
        finally:
            log.add("ended", **counts(), reason=reason)
