"""Work on many machines with Ray Data. An extra: ``densevl[scale]``.

Ray places the workers, sends them chunks, and sends the chunk of a worker that died to another one, as often as that
takes; what works is a worker as in one process. A ledger counts the deaths, so that an item that workers die with fails
and stops no other. Sources and results lie where all machines reach them, and all have the same version of densevl.
"""

import logging
import os
import pickle
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from densevl.core.engine.chunks import MOST_DEATHS, Chunk, Stop, killed, pickled, work_on
from densevl.core.engine.contracts import Outcome, Recipe, Worker
from densevl.core.engine.pipeline import Pipeline
from densevl.core.engine.versions import check_versions, own_versions
from densevl.core.errors import DensevlError, UsageError

# Read as Ray is imported and started: what it prints of a worker that died is said by the outcomes.
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", "died|killed|retr|unavailable")

try:
    import ray
    import ray.data
except ImportError as error:
    raise UsageError("--ray needs Ray Data; install it: pip install 'densevl[scale]'") from error

from densevl.core.engine.metrics import Metrics  # after Ray, which it needs

__all__ = ["on_ray"]


def on_ray(
    recipe: Recipe,
    chunks: Sequence[Chunk],
    workers: int,
    threads: int | None,
    pipeline: Pipeline,
    address: str,
    gpus: float = 0.0,
) -> Iterator[Outcome[Any, Any]]:
    """The outcomes in the order of the items, as chunk after chunk is done.

    Args:
        recipe: makes the worker of each process.
        chunks: the items; a chunk is the work of one process.
        workers: how many work at the same time.
        threads: of each operation of a worker, which takes as many processors; None for one.
        pipeline: of each process.
        address: of the cluster; ``"local"`` starts one on this machine, unless the program has connected to one.
        gpus: of each worker.

    Raises:
        DensevlError: where the cluster cannot be reached, no worker can be made, or a result cannot be written.
    """
    _connect(address, workers * (threads or 1))
    _say_room(workers, threads or 1, gpus)
    ledger = ray.remote(num_cpus=0, max_restarts=-1)(Ledger).remote()
    settings = Settings(pickled(recipe), threads, pipeline, os.getcwd(), own_versions(), workers)
    _quiet()
    rows = [{"index": index, "chunk": pickled(chunk)} for index, chunk in enumerate(chunks)]
    answered = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
        ChunkWorker,  # type: ignore[arg-type]  # Ray makes one in each worker
        fn_constructor_args=(settings, ledger),
        compute=ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=2),
        num_cpus=threads or 1,
        num_gpus=gpus,
    )
    try:
        for row in answered.iter_rows():
            answer = pickle.loads(row["answer"])
            if isinstance(answer, Stop):
                raise answer.error()
            for item, told in zip(chunks[int(row["index"])].items, answer, strict=True):
                yield Outcome(item, *told)
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()
        raise DensevlError(
            f"the Ray cluster gave up ({type(error).__name__}: {reason[-1] if reason else ''}); "
            "run the same command again to go on"
        ) from error


@dataclass(frozen=True)
class Settings:
    """Settings of the workers of a run.

    Attributes:
        recipe: pickled; makes the worker.
        threads: of each operation; None leaves that to Ray.
        pipeline: how the steps overlap.
        folder: where the run was started; workers that have it begin there, so that relative paths mean the same.
        versions: of what decides the results.
        workers: how many there are.
    """

    recipe: bytes
    threads: int | None
    pipeline: Pipeline
    folder: str
    versions: dict[str, str]
    workers: int


class Ledger:
    """Counts what workers have begun and not ended; it outlives them."""

    def __init__(self) -> None:
        self.counts: dict[object, int] = {}

    def begin(self, name: object) -> int:
        """Times that a thing was begun before and not ended."""
        self.counts[name] = self.counts.get(name, 0) + 1
        return self.counts[name] - 1

    def end(self, name: object) -> None:
        """Note that a thing is done."""
        self.counts.pop(name, None)


class ChunkWorker:
    """A worker as Ray Data calls it: from a chunk to an answer, both as bytes.

    Args:
        settings: of all workers.
        ledger: an actor, :class:`Ledger`.
    """

    def __init__(self, settings: Settings, ledger: Any) -> None:
        self.settings, self.ledger, self.metrics = settings, ledger, Metrics()
        self._worker: Worker[Any, Any, Any, Any] | None = None

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """What is said of each item of a chunk, or why the run cannot go on."""
        try:
            answer: Any = []
            for outcome in self._work(pickle.loads(row["chunk"])):
                self.metrics.count(outcome)
                answer.append((outcome.said, outcome.failure, outcome.took))
        except DensevlError as error:
            answer = Stop.of(error)
        return {"index": row["index"], "answer": pickle.dumps(answer)}

    def _work(self, chunk: Chunk) -> Iterator[Outcome[Any, Any]]:
        """The outcomes of a chunk; one that workers have died with is divided, and an item fails alone."""
        worker, name = self._made(), (chunk.start, len(chunk.items))
        if self._begin(name) < MOST_DEATHS:
            yield from work_on(worker, chunk, self.settings.pipeline)
        elif len(chunk.items) == 1:
            yield killed(chunk.items[0])
        else:
            for piece in chunk.divided():
                yield from self._work(piece)
        self.ledger.end.remote(name)

    def _made(self) -> Worker[Any, Any, Any, Any]:
        """The worker; not made before there is work, so that a process that dies of it is counted.

        Raises:
            DensevlError: where it cannot be made here.
        """
        if self._worker is None:
            check_versions(self.settings.versions)
            if self._begin("worker") >= self.settings.workers + MOST_DEATHS:
                raise DensevlError("workers died as they started, probably for want of memory; take fewer --workers")
            with suppress(OSError):
                os.chdir(self.settings.folder)
            if self.settings.threads is not None:
                os.environ["OMP_NUM_THREADS"] = str(self.settings.threads)
                if "torch" in sys.modules:
                    sys.modules["torch"].set_num_threads(self.settings.threads)
            self._worker = pickle.loads(self.settings.recipe)()
            self.ledger.end.remote("worker")
        return self._worker

    def _begin(self, name: object) -> int:
        return int(ray.get(self.ledger.begin.remote(name)))


def _connect(address: str, cpus: int) -> None:
    """Connect to a cluster, unless the program is.

    Raises:
        DensevlError: where it cannot be reached.
    """
    if ray.is_initialized():
        return
    local: dict[str, Any] = {"num_cpus": cpus, "include_dashboard": False} if address == "local" else {}
    try:
        with _silenced():
            ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **local)
    except (ConnectionError, RuntimeError, ValueError) as error:
        cure = "start one with `ray start --head`, or let --ray local do it" if address == "auto" else "is it running?"
        raise DensevlError(f"no Ray cluster could be reached at {address} ({error}); {cure}") from error


def _say_room(workers: int, cpus: int, gpus: float) -> None:
    """Say where the cluster has no room for all workers; it may grow."""
    there = ray.cluster_resources()
    rooms = [int(there.get("CPU", 0) // cpus), *([int(there.get("GPU", 0) / gpus)] if gpus else [])]
    if min(rooms) < workers:
        print(
            f"densevl: the Ray cluster has room for {min(rooms)} of {workers} workers, each of which takes {cpus} CPU"
            f"{f' and {gpus:g} GPU' if gpus else ''}; the others wait until it grows",
            file=sys.stderr,
        )


@contextmanager
def _silenced() -> Iterator[None]:
    """Keep what is no Python from writing to the standard error while Ray starts: it tells its own log level."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _quiet() -> None:
    """Let Ray Data say nothing, and give the answers in the order of the chunks."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars, context.execution_options.preserve_order = False, True
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
