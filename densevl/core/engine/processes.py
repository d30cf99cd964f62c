"""Work in several processes of this machine: a process that dies is replaced, and what it had not reported done anew.

An item whose process dies with it alone, again and again, fails, and stops no other.
"""

import multiprocessing
import os
import sys
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from queue import SimpleQueue
from typing import Any

from densevl.core.engine.chunks import Answer, Stop, answer, outcomes
from densevl.core.engine.contracts import Item, Outcome, Recipe, Worker
from densevl.core.engine.pipeline import Pipeline
from densevl.core.errors import DensevlError
from densevl.core.failures import Failure

__all__ = ["in_processes"]

MOST_DEATHS = 2
"""Times that a process may die with the same work before the work is divided, or a single item fails."""


def in_processes(
    recipe: Recipe, chunks: Sequence[Sequence[Item]], workers: int, threads: int | None, pipeline: Pipeline
) -> Iterator[Outcome[Item, Any]]:
    """The outcomes in the order of the items.

    Args:
        recipe: makes the worker of each process.
        chunks: the items; a chunk is the work of one process.
        workers: processes.
        threads: of each operation of a process; None divides the processor among them.
        pipeline: of each process.

    Raises:
        DensevlError: where no worker can be made, a result cannot be written, or processes die as they start.
    """
    shared = threads or max(1, (os.cpu_count() or 1) // workers)
    idle, processes = SimpleQueue[_Process](), [_Process(recipe, shared, pipeline) for _ in range(workers)]
    for process in processes:
        idle.put(process)

    def work(chunk: Sequence[Item]) -> Answer:
        process = idle.get()
        try:
            return process.answer(chunk)
        finally:
            idle.put(process)

    waiting, flying = deque(chunks), deque[Future[Answer]]()
    hands = ThreadPoolExecutor(workers)
    try:
        while waiting or flying:
            while waiting and len(flying) < 4 * workers:
                flying.append(hands.submit(work, waiting.popleft()))
            yield from outcomes(flying.popleft().result())
    finally:
        hands.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.end()
        hands.shutdown(wait=True)


class _Process:
    """A process with a worker, and another one in its place when it dies."""

    def __init__(self, recipe: Recipe, threads: int, pipeline: Pipeline) -> None:
        self.recipe, self.threads, self.pipeline = recipe, threads, pipeline
        self._pool: ProcessPoolExecutor | None = None
        self._ended = False

    def answer(self, chunk: Sequence[Item]) -> Answer:
        """Work on a chunk; one that the process dies with is divided."""
        for _ in range(MOST_DEATHS):
            try:
                return self._started().submit(_work, chunk).result()
            except BrokenProcessPool:
                self._pool = None
            except (_StartError, RuntimeError) as error:
                return error.stop if isinstance(error, _StartError) else Stop("DensevlError", str(error))
        if len(chunk) > 1:
            return self._divided(chunk)
        reason = (
            f"the process that worked on it died {MOST_DEATHS} times, probably for want of memory; take fewer "
            "--workers or a smaller --short-side, and run the same command again"
        )
        return [Outcome(chunk[0], failure=Failure(chunk[0].place, reason))]

    def _divided(self, chunk: Sequence[Item]) -> Answer:
        found: list[Outcome[Any, Any]] = []
        for item in chunk:
            alone = self.answer([item])
            if isinstance(alone, Stop):
                return alone
            found += alone
        return found

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            if self._ended:
                raise _StartError(Stop("DensevlError", "the run has ended"))
            # Not forked: torch's threads do not survive that.
            self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
            try:
                stop = self._pool.submit(_start, self.recipe, self.threads, self.pipeline).result()
            except BrokenProcessPool:
                stop = Stop("DensevlError", "a worker process died as it started; take fewer --workers")
            if stop is not None:
                self._pool = None
                raise _StartError(stop)
        return self._pool

    def end(self) -> None:
        """End the process when it has done what it does."""
        self._ended = True
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)


class _StartError(Exception):
    """A process without a worker."""

    def __init__(self, stop: Stop) -> None:
        super().__init__(stop.text)
        self.stop = stop


_own: tuple[Worker[Any, Any, Any, Any], Pipeline] | None = None


def _start(recipe: Recipe, threads: int, pipeline: Pipeline) -> Stop | None:
    """Make the worker of this process, which ends with the process that started it."""
    global _own
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _own = recipe(), pipeline
    except DensevlError as error:
        return Stop.of(error)
    if "torch" in sys.modules:  # not imported for workers that do without
        sys.modules["torch"].set_num_threads(threads)
    return None


def _end_with_parent() -> None:
    """End this process once the one that started it is gone, even where that was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(chunk: Sequence[Item]) -> Answer:
    if _own is None:
        raise RuntimeError("the process was not started as a worker")
    return answer(_own[0], chunk, _own[1])
