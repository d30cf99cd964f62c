"""Work in this process: reading, making and writing overlap, and memory does not grow with the number of items."""

import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from densevl.core.engine.contracts import Item, Made, Outcome, Read, Said, Took, Worker
from densevl.core.errors import DensevlError, OutputError
from densevl.core.failures import Failure

__all__ = ["Pipeline", "Take", "failure_reason"]

Given = TypeVar("Given")

FAULTS = (DensevlError, MemoryError, RuntimeError)
"""What may be wrong with one item; others go on."""

Take = Callable[[bool], Sequence[Item] | None]
"""Gives the next batch; an empty one is the end. Where it is not to wait, None says that none is there yet."""


class Step(NamedTuple):
    """What a step gave.

    Attributes:
        value: its result, or why there is none.
        seconds: that it took.
    """

    value: Any
    seconds: float


class Pipeline:
    """The three steps of a worker, each in threads of its own.

    Args:
        readers: threads that read.
        writers: threads that write.
        ahead: batches that are read before they are wanted.
        behind: results that may wait to be written.
    """

    def __init__(self, readers: int = 2, writers: int = 2, ahead: int = 2, behind: int = 16) -> None:
        self.readers, self.writers, self.ahead, self.behind = readers, writers, ahead, behind

    def run(self, worker: Worker[Item, Read, Made, Said], items: Iterable[Item]) -> Iterator[Outcome[Item, Said]]:
        """The outcomes in the order of the items.

        Args:
            worker: does the work.
            items: taken as they are wanted, so that they may be endless.

        Raises:
            OutputError: where a result cannot be written.
        """
        source = iter(items)
        return self.stream(worker, lambda wait: list(islice(source, worker.batch)))

    def stream(self, worker: Worker[Item, Read, Made, Said], take: Take[Item]) -> Iterator[Outcome[Item, Said]]:
        """The outcomes of batches that come as they come, in their order.

        Args:
            worker: does the work.
            take: gives the next batch. It is asked to wait only where there is nothing else to do, so that nothing
                that is done is held back.

        Raises:
            OutputError: where a result cannot be written.
        """
        who = f"{socket.gethostname()}:{os.getpid()}"
        reading, ended = deque[tuple[Sequence[Item], list[Future[Step]]]](), False
        writing = deque[tuple[Item, Step, Step, Future[Step] | None]]()
        readers, writers = ThreadPoolExecutor(self.readers), ThreadPoolExecutor(self.writers)
        try:
            while not ended or reading or writing:
                while not ended and len(reading) <= self.ahead:
                    batch = take(not reading and not writing)
                    if batch is None:
                        break
                    if batch:
                        reading.append((batch, [readers.submit(_timed, worker.read, item) for item in batch]))
                    ended = not batch
                if reading:
                    for item, read, made in _make(worker, *reading.popleft()):
                        write = None if isinstance(made.value, Failure) else (worker.write, item, made.value)
                        writing.append((item, read, made, write and writers.submit(_timed, *write)))
                elif writing:
                    yield _outcome(who, *writing.popleft())
                while writing and (len(writing) > self.behind or _is_settled(writing[0][-1])):
                    yield _outcome(who, *writing.popleft())
        except KeyboardInterrupt:
            while writing:  # what is made already is not lost
                yield _outcome(who, *writing.popleft())
            raise
        finally:
            readers.shutdown(wait=True, cancel_futures=True)
            writers.shutdown(wait=True, cancel_futures=True)


def _timed(step: Callable[..., Any], item: Any, *given: Any) -> Step:
    """Do a step of one item; a fault of the item is what it gives.

    Raises:
        OutputError: where a result cannot be written.
    """
    start = time.perf_counter()
    try:
        value = step(item, *given)
    except OutputError:
        raise
    except FAULTS as error:
        value = Failure(item.place, failure_reason(error))
    return Step(value, time.perf_counter() - start)


def _make(
    worker: Worker[Item, Read, Made, Any], batch: Sequence[Item], reading: Sequence["Future[Step]"]
) -> Iterator[tuple[Item, Step, Step]]:
    """The items of a batch in their order, with what was read and what was made of it, or what failed."""
    read = [future.result() for future in reading]
    usable = [(item, one.value) for item, one in zip(batch, read, strict=True) if not isinstance(one.value, Failure)]
    start = time.perf_counter()
    made = iter(_attempt(worker, usable))
    share = (time.perf_counter() - start) / max(1, len(usable))
    for item, one in zip(batch, read, strict=True):
        failed = isinstance(one.value, Failure)
        yield item, one, Step(one.value, 0.0) if failed else Step(next(made), share)


def _attempt(worker: Worker[Any, Any, Any, Any], pairs: Sequence[tuple[Any, Any]]) -> list[Any]:
    """A result or a failure of each of some items, made together or, where that fails, one by one."""
    if not pairs:
        return []
    try:
        return list(worker.make([item for item, _ in pairs], [read for _, read in pairs]))
    except OutputError:
        raise
    except FAULTS as error:
        if len(pairs) == 1:
            return [Failure(pairs[0][0].place, failure_reason(error))]
    return [result for pair in pairs for result in _attempt(worker, [pair])]


def _is_settled(write: "Future[Step] | None") -> bool:
    return write is None or write.done()


def _outcome(who: str, item: Item, read: Step, made: Step, write: "Future[Step] | None") -> Outcome[Item, Any]:
    written = Step(made.value, 0.0) if write is None else write.result()
    took = Took(who, read.seconds, made.seconds, written.seconds)
    if isinstance(written.value, Failure):
        return Outcome(item, failure=written.value, took=took)
    return Outcome(item, written.value, took=took)


def failure_reason(error: BaseException) -> str:
    """An error of one item in words; what is no error of densevl's is most often a want of memory."""
    if isinstance(error, DensevlError):
        return str(error)
    return f"{type(error).__name__}: {error}; the image may be too large for the memory: try a smaller --short-side"
