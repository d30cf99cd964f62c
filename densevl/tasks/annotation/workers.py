"""Labelling parts, here or in several processes: the same code, and so the same shards."""

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from densevl.core.errors import DensevlError, OutputError, UsageError, WeightsError
from densevl.core.files import atomic_write
from densevl.datasets.region_texts.shards import FORMATS
from densevl.tasks.annotation.labeller import Labeller, label_part
from densevl.tasks.annotation.parts import Part
from densevl.tasks.annotation.settings import LabelSettings, build_labeller

__all__ = ["Outcome", "PartWorker", "in_processes", "shard_path"]

MOST_DEATHS = 3
"""Times that all workers may die in a row without a part done."""

_ERRORS: dict[str, type[DensevlError]] = {kind.__name__: kind for kind in (UsageError, WeightsError, OutputError)}


@dataclass(frozen=True)
class Outcome:
    """The outcome of a part.

    Attributes:
        index: of the part.
        records: in its shard.
        regions: in its records.
        failed: inputs that gave no record.
        error: kind and text of what no part can be labelled with, such as missing weights; None where it is done.
    """

    index: int
    records: int = 0
    regions: int = 0
    failed: int = 0
    error: tuple[str, str] | None = None

    def check(self) -> "Outcome":
        """Itself.

        Raises:
            DensevlError: where the part could not be labelled.
        """
        if self.error is not None:
            kind, text = self.error
            raise _ERRORS.get(kind, DensevlError)(text)
        return self


def shard_path(out: Path, index: int, kind: str) -> Path:
    """The shard of a part."""
    return out / f"shard-{index:06}{FORMATS[kind]}"


class PartWorker:
    """Labels parts into shards of a folder, one after the other; its models are built with the first.

    Args:
        settings: what labels them.
        out: the folder.
        kind: format of the shards.
        threads: of each operation; None leaves that to torch.
    """

    def __init__(self, settings: LabelSettings, out: Path, kind: str, threads: int | None = None) -> None:
        self.settings, self.out, self.kind, self.threads = settings, out, kind, threads
        self._labeller: Labeller | None = None

    def __call__(self, part: Part) -> Outcome:
        """Label a part and write its shard, whole or not at all."""
        try:
            shard, records, failures = label_part(part, self.labeller, self.kind)
            with atomic_write(shard_path(self.out, part.index, self.kind)) as temporary:
                temporary.write_bytes(shard)
        except DensevlError as error:
            kind = next((name for name, known in _ERRORS.items() if isinstance(error, known)), "DensevlError")
            return Outcome(part.index, error=(kind, str(error)))
        return Outcome(part.index, len(records), sum(len(record.regions) for record in records), len(failures))

    @property
    def labeller(self) -> Labeller:
        """With its models in memory."""
        if self._labeller is None:
            if self.threads is not None:
                import torch

                torch.set_num_threads(self.threads)
            self._labeller = build_labeller(self.settings)
        return self._labeller


_worker: PartWorker | None = None


def _start(worker: PartWorker) -> None:
    global _worker
    _worker = worker


def _work(part: Part) -> Outcome:
    if _worker is None:
        raise RuntimeError("the process was not started as a worker")
    return _worker(part)


def in_processes(worker: PartWorker, parts: Sequence[Part], processes: int) -> Iterator[Outcome]:
    """Label parts in several processes; the outcomes come as they are done.

    A part whose process dies is labelled again in another one.

    Raises:
        DensevlError: where processes die again and again.
    """
    todo, deaths = {part.index: part for part in parts}, 0
    while todo:
        # Not forked: torch's threads do not survive that.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(processes, len(todo)), context, _start, (worker,)) as pool:
            futures = [pool.submit(_work, part) for part in todo.values()]
            try:
                for future in as_completed(futures):
                    outcome = future.result()
                    del todo[outcome.index]
                    deaths = 0
                    yield outcome
            except BrokenProcessPool:
                deaths += 1
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
        if todo and deaths >= MOST_DEATHS:
            raise DensevlError(
                f"worker processes died {deaths} times without finishing a part, probably for want of memory; "
                "take fewer --workers or a smaller --batch, and run the same command again to go on"
            )
