"""Chunks: neighbouring batches that are given to one process together, and what ends a run."""

import pickle
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

from densevl.core.engine.contracts import Item, Outcome, Worker
from densevl.core.engine.pipeline import Pipeline
from densevl.core.errors import DensevlError, ImageError, OutputError, ShardError, UsageError, WeightsError
from densevl.core.failures import Failure

__all__ = ["MOST", "MOST_DEATHS", "Chunk", "Stop", "chunked", "killed", "pickled", "work_on"]

MOST, LEAST = 32, 4
"""Items of a chunk at most; chunks of a worker at least, so that the last ones end at about the same time."""

MOST_DEATHS = 2
"""Times that a process may die with a chunk before the chunk is divided, or with an item before the item fails."""

KINDS = {kind.__name__: kind for kind in (ImageError, OutputError, ShardError, UsageError, WeightsError)}


class Stop(NamedTuple):
    """The reason for which a run cannot go on; unlike an error, it can always be sent to another process.

    Attributes:
        kind: of the error.
        text: its message.
    """

    kind: str
    text: str

    @classmethod
    def of(cls, error: DensevlError) -> "Stop":
        """Of an error."""
        return cls(next((name for name, kind in KINDS.items() if isinstance(error, kind)), "DensevlError"), str(error))

    def error(self) -> DensevlError:
        """The error again."""
        return KINDS.get(self.kind, DensevlError)(self.text)


@dataclass(frozen=True)
class Chunk:
    """Batches that are given to one process together; it makes them as one process alone would.

    Attributes:
        start: number of the first item in the run, from 0.
        batches: of items.
        deaths: of processes that worked on it, since it was last begun or divided.
        is_suspect: whether a process has died with it, so that it is worked on alone.
    """

    start: int
    batches: tuple[Sequence[Any], ...]
    deaths: int = 0
    is_suspect: bool = False

    @property
    def items(self) -> list[Any]:
        """All of them."""
        return [item for batch in self.batches for item in batch]

    def rest(self, reported: int) -> "Chunk":
        """What is to be done anew, whole batches, where a process has died that reported some items."""
        done, start = 0, self.start
        while done < len(self.batches) - 1 and start + len(self.batches[done]) <= self.start + reported:
            start += len(self.batches[done])
            done += 1
        return Chunk(start, self.batches[done:], 1 if done else self.deaths + 1, is_suspect=True)

    def divided(self) -> list["Chunk"]:
        """Its batches, or the items of the only one."""
        pieces = self.batches if len(self.batches) > 1 else tuple([item] for item in self.batches[0])
        starts = accumulate((len(piece) for piece in pieces), initial=self.start)
        return [Chunk(start, (piece,), is_suspect=True) for start, piece in zip(starts, pieces, strict=False)]


def chunked(items: Sequence[Item], batch: int, workers: int, most: int = MOST) -> list[Chunk]:
    """Items in chunks of whole batches; they are made in the same batches wherever the chunks are worked on."""
    size = min(most, -(-len(items) // (LEAST * workers)))
    size = max(1, size // batch) * batch
    chunks = []
    for start in range(0, len(items), size):
        own = items[start : start + size]
        chunks.append(Chunk(start, tuple(own[place : place + batch] for place in range(0, len(own), batch))))
    return chunks


def work_on(worker: Worker[Item, Any, Any, Any], chunk: Chunk, pipeline: Pipeline) -> Iterator[Outcome[Item, Any]]:
    """The outcomes of a chunk."""
    waiting = deque(chunk.batches)
    return pipeline.stream(worker, lambda wait: waiting.popleft() if waiting else ())


def killed(item: Item) -> Outcome[Item, Any]:
    """The outcome of an item whose processes died with it alone."""
    reason = (
        f"the process that worked on it died {MOST_DEATHS} times, probably for want of memory; take fewer --workers or "
        "a smaller --short-side, and run the same command again"
    )
    return Outcome(item, failure=Failure(item.place, reason))


def pickled(value: Any) -> bytes:
    """A value as it is sent to another process.

    Raises:
        UsageError: where it cannot be sent.
    """
    try:
        return pickle.dumps(value)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise UsageError(f"this work cannot be sent to other processes ({error}); do it with one worker") from error
