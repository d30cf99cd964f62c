"""Killing what works on a job, filling its disk, and comparing what came of it with what one process makes."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

PROCESSES = ("--workers", "2", "--threads", "1")
ON_RAY = (*PROCESSES, "--ray", "local")
NAMES = {PROCESSES: "spawn_main", ON_RAY: "ray::MapWorker"}
"""What stands in the command line of a worker."""

LOG = "events.jsonl"
"""The log of a run among its results, by which a job is watched that writes nothing before all is done."""


@dataclass(frozen=True)
class Job:
    """A job by its command.

    Attributes:
        arguments: of the command line, from the folder of inputs and that of results.
        mark: glob below the results; a file of it is there once an item is done, or, where it is the log of the run
            (:data:`LOG`), a line.
        items: of the job.
        passing: names of files that hold something else after each run.
    """

    arguments: Callable[[Path, Path], list[str]]
    mark: str
    items: int
    passing: tuple[str, ...] = (".lock", ".done.jsonl", LOG)

    def marks(self, out: Path) -> int:
        """Items that are done."""
        if self.mark == LOG:
            log = out / LOG
            return log.read_text(encoding="utf-8").count('"event": "done"') if log.is_file() else 0
        return len(list(out.glob(self.mark)))

    def contents(self, out: Path) -> dict[str, bytes]:
        """The results, by their names."""
        files = (path for path in sorted(out.rglob("*")) if path.is_file() and path.name not in self.passing)
        return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}

    def check_equal(self, out: Path, plain: Path) -> None:
        """The same files with the same bytes: nothing lost, doubled or left half-written."""
        found, wanted = self.contents(out), self.contents(plain)
        assert sorted(found) == sorted(wanted)
        assert [name for name in found if found[name] != wanted[name]] == []


def descendants(pid: int) -> dict[int, str]:
    """Processes that one has started, and those that these have, with their command lines."""
    parents, names = {}, {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
            names[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (OSError, ValueError):
            continue
        if state != "Z":
            parents[int(entry.name)] = int(parent)
    found: dict[int, str] = {}
    level = [pid]
    while level:
        level = [child for child, parent in parents.items() if parent in level]
        found.update({child: names[child] for child in level})
    return found


class Killer(threading.Thread):
    """Kills one worker of a program as soon as the first item is done.

    Args:
        job: the job.
        out: its results.
        name: what stands in the command line of a worker.
        pid: of the program.

    Attributes:
        done: items that were done when it was killed; None where none was.
    """

    def __init__(self, job: Job, out: Path, name: str, pid: int | None = None) -> None:
        super().__init__(daemon=True)
        self.job, self.out, self.name, self.pid = job, out, name, pid or os.getpid()
        self.done: int | None = None

    def run(self) -> None:
        """Watch and kill."""
        wait_until(lambda: self.job.marks(self.out) > 0)
        workers = [pid for pid, command in descendants(self.pid).items() if self.name in command]
        if workers:
            os.kill(workers[-1], signal.SIGKILL)
            self.done = self.job.marks(self.out)


@contextmanager
def hearing_interrupts() -> Iterator[None]:
    """Programs that are started hear interrupts, even where the tests run in the background, which ignores them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def program(arguments: list[str]) -> Iterator[subprocess.Popen[str]]:
    """``densevl`` with arguments, in a session of its own, where it does not end by itself."""
    command = [sys.executable, "-m", "densevl", *arguments]
    with hearing_interrupts():
        started = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    with started as running:
        yield running
        if running.poll() is None:
            running.kill()


def wait_until(condition: Callable[[], object], seconds: float = 600.0) -> None:
    """Wait for something that happens in other processes."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@contextmanager
def small_disk(size: int) -> Iterator[Path]:
    """A disk of its own, of so many bytes; the test is skipped where nobody may have one."""
    place = Path(tempfile.mkdtemp(prefix="disk-"))
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], capture_output=True)
    try:
        if made.returncode:
            pytest.skip("no disk can be mounted here")
        yield place
    finally:
        if not made.returncode:
            subprocess.run(["umount", "-l", str(place)], check=True)
        shutil.rmtree(place, ignore_errors=True)


def space(place: Path) -> int:
    """Bytes that files take on a disk of pages."""
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in place.rglob("*") if path.is_file())


def grow(place: Path, size: int) -> None:
    """Give a disk more bytes."""
    subprocess.run(["mount", "-o", f"remount,size={size}", str(place)], check=True)
