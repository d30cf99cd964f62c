"""Work in several processes of this machine: a process that dies is replaced, and what it had not reported done anew.

An item whose process dies with it alone, again and again, fails, and stops no other.
"""

import multiprocessing
import signal
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any

from densevl.core.engine.child import GRACE, READY, serve
from densevl.core.engine.chunks import MOST_DEATHS, Chunk, Stop, killed, pickled
from densevl.core.engine.contracts import Outcome, Recipe
from densevl.core.engine.pipeline import Pipeline
from densevl.core.errors import DensevlError, UsageError

__all__ = ["in_processes"]

AHEAD = 4
"""Chunks for each process that may be begun before the first one of them is done: outcomes wait for their order."""

UNGUARDED = 66
"""Exit code of a process that comes upon the start of processes while it imports the program that started it."""


def in_processes(
    recipe: Recipe, chunks: Sequence[Chunk], workers: int, threads: int, pipeline: Pipeline, gpus: Sequence[str] = ()
) -> Iterator[Outcome[Any, Any]]:
    """The outcomes in the order of the items.

    Args:
        recipe: makes the worker of each process.
        chunks: the items.
        workers: processes.
        threads: of each operation of a process.
        pipeline: of each process.
        gpus: which the processes share out, each taking one; none where they see all.

    Raises:
        DensevlError: where no worker can be made, a result cannot be written, or processes die as they start.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        sys.exit(UNGUARDED)
    settings = (pickled(recipe), threads, pipeline)
    processes = [_Process(settings, gpus[slot % len(gpus)] if gpus else None) for slot in range(workers)]
    try:
        yield from _outcomes(processes, chunks)
    finally:  # what they do not do in time is not waited for
        for process in processes:
            process.connection.close()
        deadline = time.monotonic() + GRACE
        for process in processes:
            process.end(deadline)


def _outcomes(processes: Sequence["_Process"], chunks: Sequence[Chunk]) -> Iterator[Outcome[Any, Any]]:
    todo, found, given, died_early = deque(chunks), dict[int, Outcome[Any, Any]](), 0, 0
    most = AHEAD * len(processes) * max(len(chunk.items) for chunk in chunks)
    while todo or found or any(process.chunks for process in processes):
        for process in processes:
            while todo and todo[0].start - given < most and process.is_free(todo[0]):
                process.give(todo.popleft())
        by_connection = {process.connection: process for process in processes}
        for connection in wait(list(by_connection)):
            process = by_connection[connection]  # type: ignore[index]
            try:
                outcome = process.hear()
            except EOFError:
                died_early = 0 if process.is_ready else died_early + 1
                todo.extendleft(reversed(_again(process, died_early, found)))
                process.start()
                continue
            if outcome is None:
                died_early = 0
            elif outcome[0] >= given:  # an item may have come before its process died
                found.setdefault(*outcome)
        while given in found:
            yield found.pop(given)
            given += 1


def _again(process: "_Process", died_early: int, found: dict[int, Outcome[Any, Any]]) -> list[Chunk]:
    """What is to be done anew of the chunks of a process that has died; an item that fails for that is found.

    Raises:
        DensevlError: where processes die again and again as they start.
    """
    process.end(time.monotonic() + GRACE)
    if process.code == UNGUARDED:
        raise UsageError(
            "each worker process imports the program that starts it; put what that program does below "
            "`if __name__ == '__main__':`"
        )
    if died_early > MOST_DEATHS:
        raise DensevlError(
            f"worker processes died as they started ({_ended(process.code)}); take fewer --workers, or run without"
        )
    if not process.chunks:
        return []
    first, *others = process.chunks
    suspect = first.rest(process.reported)
    if suspect.deaths < MOST_DEATHS:
        return [suspect, *others]
    if len(suspect.items) > 1:
        return [*suspect.divided(), *others]
    found[suspect.start] = killed(suspect.items[0])
    return others


def _ended(code: int | None) -> str:
    """The end of a process in words."""
    if code is None or code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    return f"{name}, probably for want of memory" if name == "SIGKILL" else name


class _Process:
    """A process with a worker, and another one in its place when it dies.

    Args:
        settings: of :func:`densevl.core.engine.child.serve`.
        gpu: that it takes; None for all.

    Attributes:
        is_ready: whether its worker is made.
        chunks: what it has been given, the first one first.
        reported: items of the first one whose outcomes have come.
        code: its exit code, where it has ended.
    """

    def __init__(self, settings: tuple[Any, ...], gpu: str | None) -> None:
        self.settings, self.gpu = settings, gpu
        self.code: int | None = None
        self.start()

    def start(self) -> None:
        """Start it, or another one."""
        self.is_ready, self.chunks, self.reported = False, deque[Chunk](), 0
        # Not forked: torch's threads do not survive that.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, *self.settings, self.gpu), daemon=True)
        with _interrupts_held():
            self.process.start()
        theirs.close()

    def is_free(self, chunk: Chunk) -> bool:
        """True where it can take a chunk: the next one beside the one that it works on, or a suspect one alone."""
        if not self.is_ready or not self.chunks:
            return self.is_ready
        return len(self.chunks) == 1 and not chunk.is_suspect and not self.chunks[0].is_suspect

    def give(self, chunk: Chunk) -> None:
        """Give it a chunk; one that has died is noticed when it is heard."""
        self.chunks.append(chunk)
        try:
            self.connection.send_bytes(pickled(chunk.batches))
        except (BrokenPipeError, ConnectionResetError):
            return

    def hear(self) -> tuple[int, Outcome[Any, Any]] | None:
        """The number and the outcome of an item; None where the worker is made.

        Raises:
            DensevlError: where the run cannot go on.
            EOFError: where it has died.
        """
        try:
            message = self.connection.recv()
        except OSError as error:
            raise EOFError from error
        if isinstance(message, Stop):
            raise message.error()
        if message == READY:
            self.is_ready = True
            return None
        chunk, number = self.chunks[0], self.reported
        items = chunk.items
        self.reported += 1
        if self.reported == len(items):
            self.chunks.popleft()
            self.reported = 0
        return chunk.start + number, Outcome(items[number], *message)

    def end(self, deadline: float) -> None:
        """Wait for its end, and enforce it at the deadline."""
        self.process.join(max(0.0, deadline - time.monotonic()))
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
        self.code = self.process.exitcode
        self.connection.close()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Let a process that is started never see an interrupt from the keyboard, and this one see it afterwards."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
