"""Chunks: neighbouring items that one process works on before it reports, and how it reports them."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from densevl.core.engine.contracts import Item, Outcome, Worker
from densevl.core.engine.pipeline import Pipeline
from densevl.core.errors import DensevlError, ImageError, OutputError, ShardError, UsageError, WeightsError

__all__ = ["Answer", "Stop", "answer", "chunked", "outcomes"]

MOST, LEAST = 64, 4
"""Items of a chunk at most; chunks of a worker at least, so that the last ones end at about the same time."""

KINDS = {kind.__name__: kind for kind in (ImageError, OutputError, ShardError, UsageError, WeightsError)}


class Stop(NamedTuple):
    """The reason for which a run cannot go on.

    Attributes:
        kind: of the error.
        text: its message.
    """

    kind: str
    text: str

    @classmethod
    def of(cls, error: DensevlError) -> "Stop":
        """Of an error, which itself may not be fit to be sent to another process."""
        return cls(next((name for name, kind in KINDS.items() if isinstance(error, kind)), "DensevlError"), str(error))

    def error(self) -> DensevlError:
        """The error again."""
        return KINDS.get(self.kind, DensevlError)(self.text)


Answer = Stop | list[Outcome[Any, Any]]
"""What a process says of a chunk."""


def chunked(items: Sequence[Item], batch: int, workers: int) -> list[Sequence[Item]]:
    """Items in chunks of whole batches; they are made in the same batches wherever the chunks are worked on."""
    size = min(MOST, -(-len(items) // (LEAST * workers)))
    size = max(1, size // batch) * batch
    return [items[start : start + size] for start in range(0, len(items), size)]


def answer(worker: Worker[Item, Any, Any, Any], chunk: Sequence[Item], pipeline: Pipeline) -> Answer:
    """Work on a chunk; what ends the run is said, not raised."""
    try:
        return list(pipeline.run(worker, chunk))
    except DensevlError as error:
        return Stop.of(error)


def outcomes(given: Answer) -> Iterator[Outcome[Any, Any]]:
    """The outcomes of a chunk.

    Raises:
        DensevlError: where the run cannot go on.
    """
    if isinstance(given, Stop):
        raise given.error()
    yield from given
