"""The contract of work on many items, wherever it is done: in this process, in several, or on a cluster."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

from densevl.core.failures import Failure

__all__ = ["Item", "Made", "Outcome", "Placed", "Read", "Recipe", "Said", "Took", "Worker"]


@runtime_checkable
class Placed(Protocol):
    """An item of work; it can be sent to another process."""

    @property
    def place(self) -> str:
        """The item in lists of failures, which no other item shares."""


Item = TypeVar("Item", bound=Placed)
Read = TypeVar("Read")
Made = TypeVar("Made")
Said = TypeVar("Said")


class Took(NamedTuple):
    """The time that an item took, in seconds, and where.

    Attributes:
        worker: host and number of the process.
        read: of the first step.
        make: of the second step, its share of the batch.
        write: of the third step.
    """

    worker: str
    read: float
    make: float
    write: float


@dataclass(frozen=True)
class Outcome(Generic[Item, Said]):
    """What became of an item.

    Attributes:
        item: the item.
        said: what the worker says of it; None where it failed.
        failure: why it failed; None where it is done.
        took: the time that it took; None where that is not known. It does not count where outcomes are compared.
    """

    item: Item
    said: Said | None = None
    failure: Failure | None = None
    took: Took | None = field(default=None, compare=False)


class Worker(ABC, Generic[Item, Read, Made, Said]):
    """Work on items in three steps, which overlap: while some are made, the next are read and the last are written.

    ``read`` and ``write`` run in threads, several at once; ``make`` runs in one thread, in the order of the items. An
    :class:`densevl.core.errors.OutputError` of any step ends the run: a full disk would fail for the other items as
    well. Any other :class:`densevl.core.errors.DensevlError`, and a want of memory, is a failure of the item.

    An item may come again, in the same process or in another: a worker that dies is replaced, and what it had not
    reported is done anew. So ``write`` writes each file whole or not at all, and always the same file for an item.

    Attributes:
        batch: items that are made together.
    """

    batch: int

    @abstractmethod
    def read(self, item: Item) -> Read:
        """What is worked on, such as the image."""

    @abstractmethod
    def make(self, items: Sequence[Item], read: Sequence[Read]) -> Sequence[Made]:
        """A result of each item of a batch; where it fails, the items come one by one."""

    @abstractmethod
    def write(self, item: Item, made: Made) -> Said:
        """Write the result of an item; what is said of it goes to the process that started the run."""


Recipe = Callable[[], Worker[Any, Any, Any, Any]]
"""How a process makes its worker, such as a frozen dataclass with ``__call__``; it can be sent to another process."""
