"""Work on many machines with Ray Data. An extra: ``densevl[scale]``.

Ray places the workers, sends them chunks, and sends the chunk of a worker that died to another one; what works is a
worker as in one process. Sources and results lie where all machines reach them.
"""

import logging
import pickle
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from densevl.core.engine.chunks import Answer, Stop, answer, outcomes
from densevl.core.engine.contracts import Item, Outcome, Recipe, Worker
from densevl.core.engine.pipeline import Pipeline
from densevl.core.errors import DensevlError, UsageError
from densevl.core.failures import Failure

try:
    import ray
    import ray.data
except ImportError as error:
    raise UsageError("--ray needs Ray Data; install it: pip install 'densevl[scale]'") from error

__all__ = ["on_ray"]

RETRIES = 2
"""Times that a chunk is given to another worker where its worker died."""


class ChunkWorker:
    """A worker as Ray Data calls it: from a chunk to an answer, both as bytes."""

    def __init__(self, recipe: Recipe, threads: int | None, pipeline: Pipeline) -> None:
        if threads is not None:
            import torch

            torch.set_num_threads(threads)
        self.pipeline = pipeline
        self.worker: Worker[Any, Any, Any, Any] | Stop
        try:
            self.worker = recipe()
        except DensevlError as error:
            self.worker = Stop.of(error)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        worker = self.worker
        given = worker if isinstance(worker, Stop) else answer(worker, pickle.loads(row["chunk"]), self.pipeline)
        return {"index": row["index"], "answer": pickle.dumps(given)}


def on_ray(
    recipe: Recipe,
    chunks: Sequence[Sequence[Item]],
    workers: int,
    threads: int | None,
    pipeline: Pipeline,
    address: str,
    gpus: float = 0.0,
) -> Iterator[Outcome[Item, Any]]:
    """The outcomes in the order of the items; those of chunks whose workers died again and again come last.

    Args:
        recipe: makes the worker of each process.
        chunks: the items; a chunk is the work of one process.
        workers: how many work at the same time.
        threads: of each operation of a worker; None leaves that to Ray.
        pipeline: of each process.
        address: of the cluster; ``"local"`` starts one on this machine, unless the program has connected to one.
        gpus: of each worker.

    Raises:
        DensevlError: where the cluster cannot be reached, no worker can be made, or a result cannot be written.
    """
    _connect(address, workers)
    lost = dict(enumerate(chunks))
    settings = (recipe, threads, pipeline)
    for index, given in _answers(settings, lost, workers, gpus):
        yield from outcomes(given)
        del lost[index]
    alone = dict(enumerate([item] for item in chain.from_iterable(lost.values())))
    for index, given in _answers(settings, alone, workers, gpus):
        yield from outcomes(given)
        del alone[index]
    reason = "the worker that worked on it died again and again, probably for want of memory; run again to go on"
    yield from (Outcome(item, failure=Failure(item.place, reason)) for item in chain.from_iterable(alone.values()))


def _answers(
    settings: tuple[Any, ...], chunks: dict[int, Any], workers: int, gpus: float
) -> Iterator[tuple[int, Answer]]:
    """The numbers of chunks and what is said of them, in their order; chunks that workers died with are left out."""
    if not chunks:
        return
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars, context.max_errored_blocks = False, -1
    context.execution_options.preserve_order = True
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    rows = [{"index": index, "chunk": pickle.dumps(chunk)} for index, chunk in list(chunks.items())]
    answered = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
        ChunkWorker,  # type: ignore[arg-type]  # Ray makes one in each worker
        fn_constructor_args=settings,
        compute=ray.data.ActorPoolStrategy(size=min(workers, len(rows))),
        num_cpus=1,
        num_gpus=gpus,
        ray_remote_args_fn=lambda: {"max_task_retries": RETRIES, "max_restarts": -1},
    )
    try:
        for row in answered.iter_rows():
            yield int(row["index"]), pickle.loads(row["answer"])
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()
        raise DensevlError(
            f"the Ray cluster gave up ({type(error).__name__}: {reason[-1] if reason else ''}); "
            "run the same command again to go on"
        ) from error


def _connect(address: str, workers: int) -> None:
    if ray.is_initialized():
        return
    local = {"num_cpus": workers, "include_dashboard": False}
    place: dict[str, Any] = local if address == "local" else {"address": address}
    try:
        ray.init(logging_level=logging.ERROR, log_to_driver=False, **place)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise DensevlError(f"no Ray cluster could be reached at {address}: {error}") from error
