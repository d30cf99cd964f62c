"""Work in this process: reading, making and writing overlap, and memory does not grow with the number of items."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar

from densevl.core.engine.contracts import Item, Made, Outcome, Placed, Read, Said, Worker
from densevl.core.errors import DensevlError, OutputError
from densevl.core.failures import Failure

__all__ = ["Pipeline", "failure_reason"]

Given = TypeVar("Given")

FAULTS = (DensevlError, MemoryError, RuntimeError)
"""What may be wrong with one item; others go on."""


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
        source, reading = iter(items), deque[tuple[list[Item], list[Future[Read]]]]()
        writing = deque[tuple[Item, Future[Said] | Failure]]()
        readers, writers = ThreadPoolExecutor(self.readers), ThreadPoolExecutor(self.writers)
        try:
            while True:
                while len(reading) <= self.ahead and (batch := list(islice(source, worker.batch))):
                    reading.append((batch, [readers.submit(worker.read, item) for item in batch]))
                if not reading:
                    break
                for item, made in _make(worker, *reading.popleft()):
                    done = made if isinstance(made, Failure) else writers.submit(worker.write, item, made)
                    writing.append((item, done))
                while writing and (len(writing) > self.behind or _is_settled(writing[0][1])):
                    yield _outcome(*writing.popleft())
            while writing:
                yield _outcome(*writing.popleft())
        except KeyboardInterrupt:
            while writing:  # what is made already is not lost
                yield _outcome(*writing.popleft())
            raise
        finally:
            readers.shutdown(wait=True, cancel_futures=True)
            writers.shutdown(wait=True, cancel_futures=True)


def _make(
    worker: Worker[Item, Read, Made, Any], batch: Sequence[Item], reading: Sequence["Future[Read]"]
) -> Iterator[tuple[Item, Any]]:
    """The results of a batch in its order, and what failed."""
    read = list(map(_settled, batch, reading))
    usable = [(item, one) for item, one in zip(batch, read, strict=True) if not isinstance(one, Failure)]
    made = iter(_attempt(worker, usable))
    for item, one in zip(batch, read, strict=True):
        yield item, one if isinstance(one, Failure) else next(made)


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


def _settled(item: Placed, future: "Future[Given]") -> Given | Failure:
    """What a step gave, or why it failed."""
    try:
        return future.result()
    except OutputError:
        raise
    except FAULTS as error:
        return Failure(item.place, failure_reason(error))


def _is_settled(made: "Future[Any] | Failure") -> bool:
    return isinstance(made, Failure) or made.done()


def _outcome(item: Item, made: "Future[Said] | Failure") -> Outcome[Item, Said]:
    if isinstance(made, Failure):
        return Outcome(item, failure=made)
    said = _settled(item, made)
    return Outcome(item, failure=said) if isinstance(said, Failure) else Outcome(item, said)


def failure_reason(error: BaseException) -> str:
    """An error of one item in words; what is no error of densevl's is most often a want of memory."""
    if isinstance(error, DensevlError):
        return str(error)
    return f"{type(error).__name__}: {error}; the image may be too large for the memory: try a smaller --short-side"
