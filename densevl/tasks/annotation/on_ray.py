"""Labelling parts on many machines with Ray Data. An extra: ``densevl[scale]``.

Ray places the workers, sends them parts, and sends the part of a worker that died to another one; what labels is
:class:`PartWorker`, as in one process. Sources and results lie in a file system that all machines share. A part is
written whole or not at all and always to the same file, so that one which is labelled twice is there once.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from densevl.core.errors import DensevlError, UsageError
from densevl.core.files import parse_json
from densevl.tasks.annotation.parts import Part
from densevl.tasks.annotation.settings import LabelSettings
from densevl.tasks.annotation.workers import Outcome, PartWorker

try:
    import ray
    import ray.data
except ImportError as error:
    raise UsageError("--ray needs Ray Data; install it: pip install 'densevl[scale]'") from error

__all__ = ["on_ray"]

RETRIES = 5
"""Times that a part is labelled again where its worker died."""


class RowWorker:
    """A :class:`PartWorker` as Ray Data calls it: from a row to a row, both of JSON values."""

    def __init__(self, settings: LabelSettings, out: str, kind: str, threads: int | None) -> None:
        self.worker = PartWorker(settings, Path(out), kind, threads)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        outcome = self.worker(Part.from_json(row["part"]))
        error = None if outcome.error is None else json.dumps(outcome.error)
        counts = {"records": outcome.records, "regions": outcome.regions, "failed": outcome.failed}
        return {"index": outcome.index, **counts, "error": error or ""}


def on_ray(worker: PartWorker, parts: Sequence[Part], workers: int, address: str | None = None) -> Iterator[Outcome]:
    """Label parts on a Ray cluster; the outcomes come as they are done.

    Args:
        worker: what labels them; each worker of the cluster makes its own like it.
        parts: to be labelled.
        workers: how many label at the same time; each takes a GPU where the device is one.
        address: of the cluster; None starts one on this machine, unless the program has connected to one.

    Raises:
        DensevlError: where the cluster cannot be reached, or a worker died again and again with a part.
    """
    _connect(address, workers)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    rows = [{"part": part.as_json()} for part in parts]
    outcomes = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
        RowWorker,  # type: ignore[arg-type]  # Ray makes one in each worker
        fn_constructor_args=(worker.settings, str(worker.out.resolve()), worker.kind, worker.threads),
        compute=ray.data.ActorPoolStrategy(size=min(workers, len(parts))),
        num_cpus=1,
        num_gpus=1 if worker.settings.device.startswith("cuda") else 0,
        ray_remote_args_fn=lambda: {"max_task_retries": RETRIES},
    )
    try:
        for row in outcomes.iter_rows():
            error = tuple(parse_json(row.pop("error") or "null") or ()) or None
            yield Outcome(**row, error=error)
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()
        raise DensevlError(
            f"the Ray cluster gave up ({type(error).__name__}: {reason[-1] if reason else ''}); "
            "run the same command again to go on"
        ) from error


def _connect(address: str | None, workers: int) -> None:
    if ray.is_initialized():
        return
    place: dict[str, Any] = {"address": address} if address else {"num_cpus": workers, "include_dashboard": False}
    try:
        ray.init(logging_level=logging.ERROR, log_to_driver=False, **place)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise DensevlError(f"no Ray cluster could be reached at {address or 'this machine'}: {error}") from error
