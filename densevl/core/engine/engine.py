"""Where the work of a job is done: in this process, in several, or on a Ray cluster. The results are the same."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from densevl.core.engine.chunks import MOST, Chunk, chunked
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
        threads: of each operation of a worker; None divides the processor among the processes of this machine, and
            gives a worker of a cluster one.
        gpus: of each worker of the Ray cluster, where a part of one is a share of it; above zero, processes of this
            machine share out its GPUs.
        pipeline: how the three steps overlap in each process.
        log: file that each event of a run is added to, see :mod:`densevl.core.engine.log`; None for none.

    Raises:
        UsageError: where a number is below 1.
    """

    workers: int = 1
    ray: str | None = None
    threads: int | None = None
    gpus: float = 0.0
    pipeline: Pipeline = field(default_factory=Pipeline)
    log: Path | None = None

    def __post_init__(self) -> None:
        if self.workers < 1 or (self.threads is not None and self.threads < 1):
            raise UsageError(f"workers and threads must be at least 1; got {self.workers} and {self.threads}")

    @property
    def is_here(self) -> bool:
        """True where the work is done in this process."""
        return self.workers == 1 and self.ray is None

    def run(
        self,
        recipe: Recipe,
        items: Sequence[Item],
        batch: int,
        own: Worker[Item, Any, Any, Any] | None = None,
        most: int = MOST,
    ) -> Iterator[Outcome[Item, Any]]:
        """The outcomes in the order of the items, as they come.

        Args:
            recipe: makes the worker of each process; it can be sent there.
            items: what is worked on.
            batch: that of the workers.
            own: a worker of this process that is there already, in the place of the recipe's.
            most: items that a process is given at once.

        Raises:
            DensevlError: where the run cannot go on, such as without weights or on a full disk; what is done stays.
        """
        if not items:
            return
        outcomes = self._outcomes(recipe, items, chunked(items, batch, self.workers, most), own)
        if self.log is None:
            yield from outcomes
            return
        from densevl.core.engine.log import logged

        where = {"workers": self.workers, "ray": self.ray, "threads": self.threads, "batch": batch}
        yield from logged(outcomes, self.log, len(items), **where)

    def _outcomes(
        self,
        recipe: Recipe,
        items: Sequence[Item],
        chunks: Sequence[Chunk],
        own: Worker[Item, Any, Any, Any] | None,
    ) -> Iterator[Outcome[Item, Any]]:
        if self.is_here or (self.ray is None and len(chunks) < 2):
            with _threads(self.threads):
                yield from self.pipeline.run(own or recipe(), items)
            return
        workers = min(self.workers, len(chunks))
        if self.ray is None:
            from densevl.core.engine.processes import in_processes

            threads = self.threads or max(1, (os.cpu_count() or 1) // workers)
            yield from in_processes(recipe, chunks, workers, threads, self.pipeline, _gpus() if self.gpus else ())
            return
        from densevl.core.engine.on_ray import on_ray

        yield from on_ray(recipe, chunks, workers, self.threads, self.pipeline, self.ray, self.gpus)


HERE = Engine()
"""This process alone."""


@contextmanager
def _threads(number: int | None) -> Iterator[None]:
    """Let each operation of this process take so many threads; None changes nothing."""
    if number is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _gpus() -> list[str]:
    """The GPUs of this machine that this process may use, as CUDA names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return named.split(",")
    import torch

    return [str(place) for place in range(torch.cuda.device_count())]
