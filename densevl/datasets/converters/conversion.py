"""Running conversions: in parallel, resumable, every file whole or not there."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from densevl.core.errors import ImageError, UsageError
from densevl.core.failures import Failure
from densevl.core.files import atomic_write
from densevl.core.labelmap import read_label_map

__all__ = ["Conversion", "Task", "map_labels", "run_tasks", "table", "tasks_of_files"]


@dataclass(frozen=True)
class Task:
    """One label map to make.

    Attributes:
        target: the PNG to write.
        make: makes the labels (H, W); it is sent to another process, so it is a function of a module or a ``partial``.
    """

    target: Path
    make: Callable[[], UInt8[np.ndarray, "H W"]]


@dataclass
class Conversion:
    """Counts of what became of the tasks.

    Attributes:
        written: number of files made now.
        present: number of files that were there before.
        failures: each file that could not be made, by its path.
    """

    written: int = 0
    present: int = 0
    failures: list[Failure] = field(default_factory=list)

    def __str__(self) -> str:
        failed = "".join(f"\n  {target}: {reason}" for target, reason in self.failures)
        return f"written {self.written}, already there {self.present}, failed {len(self.failures)}{failed}"


def run_tasks(tasks: Sequence[Task], workers: int | None = None, overwrite: bool = False) -> Conversion:
    """Make every label map that is not there yet; one that fails does not stop the others.

    Args:
        tasks: what to make.
        workers: number of processes; None for one a core, 0 for this process alone.
        overwrite: also make those that are there.
    """
    result = Conversion()
    todo = [task for task in tasks if overwrite or not task.target.is_file()]
    result.present = len(tasks) - len(todo)
    count = min(len(todo), os.cpu_count() or 1 if workers is None else workers)
    with tqdm(total=len(todo), desc="labels", disable=None) as progress:
        for task, reason in zip(todo, _outcomes(todo, count), strict=True):
            progress.update()
            if reason is None:
                result.written += 1
            else:
                result.failures.append(Failure(str(task.target), reason))
    return result


def _outcomes(tasks: Sequence[Task], workers: int) -> Iterator[str | None]:
    if workers < 2:
        yield from map(_run, tasks)
        return
    with ProcessPoolExecutor(workers) as pool:
        yield from pool.map(_run, tasks, chunksize=8)


def _run(task: Task) -> str | None:
    """Make and write one label map; the reason where that failed."""
    try:
        _, content = cv2.imencode(".png", task.make())
        with atomic_write(task.target) as temporary:
            temporary.write_bytes(content.tobytes())
    except Exception as error:  # whatever is wrong with one file must not stop the others
        return f"{type(error).__name__}: {error}"
    return None


def table(pairs: dict[int, int], default: int) -> UInt8[np.ndarray, "256"]:
    """A lookup table from raw ids to labels."""
    result = np.full(256, default, np.uint8)
    result[list(pairs)] = list(pairs.values())
    return result


def map_labels(path: Path, lookup: UInt8[np.ndarray, "256"]) -> UInt8[np.ndarray, "H W"]:
    """The labels of a PNG of raw ids.

    Raises:
        ImageError: where the file is not an image of 8-bit ids.
    """
    raw = read_label_map(path)
    if not 0 <= raw.min() <= raw.max() < len(lookup):
        raise ImageError(f"{path} holds values from {raw.min()} to {raw.max()}; expected 8-bit ids")
    return lookup[raw]


def tasks_of_files(
    files: Sequence[Path], old: str, new: str, lookup: UInt8[np.ndarray, "256"], where: str
) -> list[Task]:
    """A task for each file, whose name ends in ``new`` instead of ``old``.

    Raises:
        UsageError: where there are none.
    """
    if not files:
        raise UsageError(f"there are no files {where}")
    return [Task(f.with_name(f.name.removesuffix(old) + new), partial(map_labels, f, lookup)) for f in files]
