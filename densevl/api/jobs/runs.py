"""A run over many inputs: those to do, those done before, those that failed, and the report of them."""

import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from tqdm import tqdm

from densevl.core.engine import Engine, Outcome, Recipe, Worker
from densevl.core.errors import UsageError
from densevl.core.failures import Failure, FailureList

__all__ = ["Run", "fingerprint"]

Item = TypeVar("Item")
Said = TypeVar("Said")
Result = TypeVar("Result")

MOST_PRINTED = 10
"""Failures that are printed; all of them are in the list."""


class Run(Generic[Item, Said]):
    """The state of many inputs; one that fails is listed and stops no other.

    Args:
        out: folder of the results, and of the list of failures.
        inputs: in their order.
        is_done: says of an input that its results are there: of the same input, made with the same settings.
        is_own: says of a name in the list of failures that it is one of these inputs, and leaves the list until it
            fails again; None begins the list anew.

    Attributes:
        todo: inputs without results.
        skipped: inputs whose results were there already.
        done: inputs of this run that gave results, each with what is said of them.
        failures: inputs of this run that gave none.

    Raises:
        OutputError: where the folder cannot be written.
    """

    def __init__(
        self,
        out: Path,
        inputs: Iterable[Item],
        is_done: Callable[[Item], bool],
        is_own: Callable[[str], bool] | None = None,
    ) -> None:
        self.out, self.todo, self.skipped = out, list[Item](), list[Item]()
        for item in inputs:
            (self.skipped if is_done(item) else self.todo).append(item)
        self.done: list[tuple[Item, Said]] = []
        self.failures: list[Failure] = []
        self._listed = FailureList(out)
        self._listed.forget(is_own)

    def fail(self, *failures: Failure) -> None:
        """Take account of inputs that failed, here and in the list of the folder.

        Raises:
            OutputError: where the list cannot be written.
        """
        self.failures += failures
        self._listed.add(*failures)

    def progress(self, doing: str, total: int) -> tqdm:
        """A bar that shows itself after two seconds."""
        return tqdm(total=total, desc=doing, unit="image", delay=2, disable=None)

    def work(
        self,
        engine: Engine,
        recipe: Recipe | None,
        worker: Worker[Any, Any, Any, Any],
        doing: str,
        keep: Callable[[Item, Any], Said] | None = None,
    ) -> None:
        """Do what is to do; :attr:`done` and :attr:`failures` say what became of each input.

        Args:
            engine: where it is done.
            recipe: makes the workers of other processes.
            worker: of this process.
            doing: what the progress bar calls it.
            keep: what is kept, of an input and what is said of it, in :attr:`done`; None keeps all that is said, which
                is much where there are many inputs.

        Raises:
            OutputError: where a result or the list of failures cannot be written.
            UsageError: where the engine has other processes, and there is no recipe.
        """
        with self.progress(doing, len(self.todo)) as progress:
            for outcome in self.outcomes(engine, recipe, worker):
                if outcome.failure is not None:
                    self.fail(outcome.failure)
                elif outcome.said is not None:
                    self.done.append((outcome.item, keep(outcome.item, outcome.said) if keep else outcome.said))
                progress.update()

    def outcomes(
        self,
        engine: Engine,
        recipe: Recipe | None,
        worker: Worker[Any, Any, Any, Result],
        items: Sequence[Item] | None = None,
    ) -> Iterator[Outcome[Any, Result]]:
        """What becomes of each input that is to do, in their order; the caller keeps account.

        Args:
            engine: where it is done.
            recipe: makes the workers of other processes.
            worker: of this process.
            items: other inputs than those that are to do.
        """
        if recipe is None and not engine.is_here:
            raise UsageError("workers in other processes load the model again; say how it was loaded")
        return engine.run(recipe or (lambda: worker), self.todo if items is None else items, worker.batch, worker)

    def counts(self, verb: str) -> str:
        """The sizes of the run in a line."""
        return f"{len(self.done)} {verb}, {len(self.skipped)} done before, {len(self.failures)} failed: {self.out}"

    def report(self, summary: str = "") -> int:
        """Print a summary, and the first failures as errors; gives the exit code, 1 where there are failures."""
        if summary:
            print(summary)
        for name, reason in self.failures[:MOST_PRINTED]:
            print(f"densevl: {name}: {reason}", file=sys.stderr)
        if self.failures:
            count = len(self.failures)
            print(f"densevl: {count} failed; all are listed in {self._listed.path}", file=sys.stderr)
        return 1 if self.failures else 0


def fingerprint(*settings: Any) -> str:
    """A short text that differs where any setting does.

    Args:
        settings: everything that decides a result, such as whole protocols, in values that JSON knows.

    Raises:
        UsageError: where JSON does not know a value, so that nothing tells it from others.
    """
    text = json.dumps(settings, sort_keys=True, default=_refuse)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _refuse(value: Any) -> Any:
    raise UsageError(
        f"a protocol has the value {value!r}; runs are told apart by values that JSON knows, such as numbers and texts"
    )
