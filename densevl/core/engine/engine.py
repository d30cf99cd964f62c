"""Where the work of a job is done: in this process, in several, or on a Ray cluster. The results are the same."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from densevl.core.engine.chunks import chunked
from densevl.core.engine.contracts import Item, Outcome, Recipe, Worker
from densevl.core.engine.pipeline import Pipeline
from densevl.core.errors import UsageError

__all__ = ["HERE", "Engine"]


@dataclass(frozen=True)
class Engine:
    """Where work is done.

    Attributes:
        workers: processes, or workers of the Ray cluster.
        ray: address of a Ray cluster; ``"auto"`` finds the one that runs here, ``"local"`` starts one; None for none.
        threads: of each operation of a worker; None divides the processor among the processes of this machine.
        gpus: of each worker of the Ray cluster.
        pipeline: how the three steps overlap in each process.

    Raises:
        UsageError: where a number is below 1.
    """

    workers: int = 1
    ray: str | None = None
    threads: int | None = None
    gpus: float = 0.0
    pipeline: Pipeline = field(default_factory=Pipeline)

    def __post_init__(self) -> None:
        if self.workers < 1 or (self.threads is not None and self.threads < 1):
            raise UsageError(f"workers and threads must be at least 1; got {self.workers} and {self.threads}")

    @property
    def is_here(self) -> bool:
        """True where the work is done in this process."""
        return self.workers == 1 and self.ray is None

    def run(
        self, recipe: Recipe, items: Sequence[Item], batch: int, own: Worker[Item, Any, Any, Any] | None = None
    ) -> Iterator[Outcome[Item, Any]]:
        """The outcomes in the order of the items, as they come.

        Args:
            recipe: makes the worker of each process; it can be sent there.
            items: what is worked on.
            batch: that of the workers.
            own: a worker of this process that is there already, in the place of the recipe's.

        Raises:
            DensevlError: where the run cannot go on, such as without weights or on a full disk; what is done stays.
        """
        if not items:
            return
        if self.is_here:
            yield from self.pipeline.run(own or recipe(), items)
            return
        chunks = chunked(items, batch, self.workers)
        workers = min(self.workers, len(chunks))
        if self.ray is None:
            from densevl.core.engine.processes import in_processes

            yield from in_processes(recipe, chunks, workers, self.threads, self.pipeline)
            return
        from densevl.core.engine.on_ray import on_ray

        yield from on_ray(recipe, chunks, workers, self.threads, self.pipeline, self.ray, self.gpus)


HERE = Engine()
"""This process alone."""
