"""Work of which no part may be missing: the first item that fails ends it, with its own error."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from densevl.core.engine.chunks import MOST, Stop
from densevl.core.engine.contracts import Item, Recipe, Said, Worker
from densevl.core.engine.engine import Engine
from densevl.core.errors import DensevlError, OutputError, UsageError

__all__ = ["all_of"]


class Strict(Worker[Any, Any, Any, Any]):
    """A worker that says why an item failed, so that its error is the same error in every process.

    Args:
        worker: does the work.
    """

    def __init__(self, worker: Worker[Any, Any, Any, Any]) -> None:
        self.worker, self.batch = worker, worker.batch

    def read(self, item: Any) -> Any:
        """What is worked on, or why there is none."""
        try:
            return self.worker.read(item)
        except OutputError:
            raise
        except DensevlError as error:
            return Stop.of(error)

    def make(self, items: Sequence[Any], read: Sequence[Any]) -> Sequence[Any]:
        """The results of a batch, or the reason for which it has none."""
        stop = next((one for one in read if isinstance(one, Stop)), None)
        try:
            return [stop] * len(items) if stop else self.worker.make(items, read)
        except OutputError:
            raise
        except DensevlError as error:
            return [Stop.of(error)] * len(items)

    def write(self, item: Any, made: Any) -> Any:
        """What is said of the result of an item."""
        return made if isinstance(made, Stop) else self.worker.write(item, made)


@dataclass(frozen=True)
class StrictRecipe:
    """How another process makes its worker.

    Attributes:
        recipe: of the worker that does the work.
    """

    recipe: Recipe

    def __call__(self) -> Strict:
        """The worker."""
        return Strict(self.recipe())


def all_of(
    engine: Engine,
    recipe: Recipe | None,
    items: Sequence[Item],
    own: Worker[Item, Any, Any, Said],
    most: int = MOST,
) -> Iterator[Said]:
    """What is said of each item, in their order.

    Args:
        engine: where the work is done.
        recipe: makes the workers of other processes; None where there are none.
        items: what is worked on.
        own: the worker of this process.
        most: items that a process is given at once.

    Raises:
        DensevlError: of the first item that failed; of the kind that it was raised as.
        UsageError: where the engine has other processes, and there is no recipe.
    """
    if recipe is None and not engine.is_here:
        raise UsageError("workers in other processes load the model again; say how it was loaded")
    for outcome in engine.run(StrictRecipe(recipe or (lambda: own)), items, own.batch, Strict(own), most=most):
        if outcome.failure is not None:
            raise DensevlError(f"{outcome.item.place}: {outcome.failure.reason}")
        said: Any = outcome.said
        if isinstance(said, Stop):
            raise said.error()
        yield said
