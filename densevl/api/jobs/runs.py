"""What runs over many image files share: reading ahead, telling a file from its former self, noting failures."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from densevl.core.errors import DensevlError, ImageError, OutputError
from densevl.core.files import InputFile
from densevl.core.images import read_image

__all__ = ["FAILURES", "Batch", "failure_reason", "file_state", "note_failure", "read_batches"]

FAILURES = "failures.jsonl"
"""The file of a run's folder with one line for each input that failed."""

Batch = list[tuple[InputFile, np.ndarray | str]]
"""Inputs with their pictures, or with the reason why there is none."""


def read_batches(inputs: Sequence[InputFile], size: int) -> Iterator[Batch]:
    """Batches of decoded images, the next ones decoded while the last one is worked on."""
    batches = [inputs[i : i + size] for i in range(0, len(inputs), size)]
    with ThreadPoolExecutor(1) as reader:
        ahead = [reader.submit(_read_all, batch) for batch in batches[:2]]
        for index in range(len(batches)):
            if index + 2 < len(batches):
                ahead.append(reader.submit(_read_all, batches[index + 2]))
            yield ahead.pop(0).result()


def file_state(path: Path) -> tuple[int, int]:
    """What tells a file from itself before it was changed: its bytes and the time of its last change.

    Raises:
        OSError: where there is no such file.
    """
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def note_failure(folder: Path, path: Path, reason: str) -> None:
    """Add an input that failed to the list of a run.

    Raises:
        OutputError: where the list cannot be written.
    """
    line = json.dumps({"file": str(path), "error": reason}, ensure_ascii=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / FAILURES).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
    except OSError as error:
        raise OutputError(f"cannot write {folder / FAILURES}: {error}") from error


def failure_reason(error: BaseException) -> str:
    """An error of one input in words; what is no error of densevl's is most often a want of memory."""
    if isinstance(error, DensevlError):
        return str(error)
    return f"{type(error).__name__}: {error}; the image may be too large for the memory: try a smaller --short-side"


def _read_all(inputs: Sequence[InputFile]) -> Batch:
    read: Batch = []
    for item in inputs:
        try:
            read.append((item, read_image(item.path)))
        except ImageError as error:
            read.append((item, str(error)))
    return read
