"""A folder of images through the job that segments it: how long the encoder waits, and what everything else costs."""

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from densevl.api.jobs.formats.record import ImageRecord
from densevl.api.jobs.segment import SegmentJob
from densevl.api.jobs.segment_worker import Labelled, Segmented, SegmentWorker
from densevl.api.loading import load
from densevl.core.drawing.overlay import draw_overlay
from densevl.core.engine import Worker
from densevl.core.errors import UsageError
from densevl.core.geometry import Size
from densevl.core.inputs import Input, find_inputs
from densevl.core.vocabulary import Vocabulary
from densevl.datasets.scenes import render
from densevl.metrics.table import Table

__all__ = ["benchmark_folder"]

SEED = 0
"""Of the scenes that are drawn."""

DIFFERENT = 40
"""Images that are drawn; further ones are copies of them."""

CLASSES = "grass, sand, water, brick, wood, stone, red circle, blue square, yellow heart, green ring, orange star"
"""What is looked for."""


class TimedWorker(Worker[Input, Any, Labelled, Segmented]):
    """A worker whose time inside the encoder is taken; with a pause it stands for one whose encoder is elsewhere.

    Args:
        worker: does the work.
        pause: seconds an image, which the encoder takes without this machine's processor; None for the encoder itself.
        known: what the encoder gives of each image, by its place, where there is a pause.
    """

    def __init__(self, worker: SegmentWorker, pause: float | None, known: dict[str, Labelled]) -> None:
        self.worker, self.pause, self.known, self.batch = worker, pause, known, worker.batch
        self.seconds, self.begun, self.ended = 0.0, 0.0, 0.0

    def read(self, item: Input) -> Any:
        """The image."""
        return self.worker.read(item)

    def make(self, items: Sequence[Input], read: Sequence[Any]) -> list[Labelled]:
        """Label images, or wait."""
        begin = time.perf_counter()
        if self.pause is None:
            made = self.worker.make(items, read)
        else:
            time.sleep(self.pause * len(items))
            made = [self.known[item.place] for item in items]
        self.ended = time.perf_counter()
        self.begun, self.seconds = self.begun or begin, self.seconds + self.ended - begin
        return made

    def write(self, item: Input, made: Labelled) -> Segmented:
        """Write the results of an image."""
        return self.worker.write(item, made)


def benchmark_folder(
    models: Sequence[str] = ("mini",),
    count: int = 40,
    size: Size = (512, 683),
    save: Sequence[str] = ("overlay", "labels", "coco"),
    sleep: float | None = None,
    batch: int = 1,
) -> Table:
    """Segment a folder of drawn JPEG images: the clock of the whole job, and the processor's time of each step alone.

    Args:
        models: names; each is measured in turn.
        count: images of the folder.
        size: (height, width) of the images.
        save: formats of the results.
        sleep: milliseconds an image in the place of the encoder, as of a GPU that needs nothing of the processor; the
            label maps that are written are those of the model. None for the model itself.
        batch: images that are encoded together.

    Returns:
        A row for each figure. Steps are those of one thread, in milliseconds an image, the least of three runs.

    Raises:
        UsageError: where a number is below 1, or a model or a format is unknown.
    """
    if min(count, batch) < 1 or (sleep is not None and sleep <= 0):
        raise UsageError("count, batch and sleep must be above 0")
    columns = [_measured(name, count, size, save, sleep, batch) for name in models]
    rows = [(name, [column[name] for column in columns]) for name in columns[0]]
    encoder = "the model" if sleep is None else f"a pause of {sleep:g} ms an image"
    note = f"{count} images of {size[0]}×{size[1]} pixels, --save {','.join(save)}, encoded by {encoder}"
    return Table(("", *models), rows, note)


def _measured(
    model: str, count: int, size: Size, save: Sequence[str], sleep: float | None, batch: int
) -> dict[str, float]:
    loaded, words = load(model, device="cpu"), Vocabulary.parse(CLASSES)
    with tempfile.TemporaryDirectory() as folder:
        photos, out = Path(folder) / "photos", Path(folder) / "out"
        photos.mkdir()
        for index in range(count):
            path = photos / f"{index}.jpg"
            if index < DIFFERENT:
                Image.fromarray(render(SEED, index, size, count=(4, 10)).image).save(path, quality=90)
            else:
                shutil.copyfile(photos / f"{index % DIFFERENT}.jpg", path)
        items = find_inputs([photos], out)
        job = SegmentJob(loaded, words, out, batch=batch, save=save)
        worker = job.worker
        known = {item.place: worker.make([item], [worker.read(item)])[0] for item in items[: DIFFERENT if sleep else 1]}
        if sleep:
            known = {item.place: known[items[index % DIFFERENT].place] for index, item in enumerate(items)}
        steps = _steps(worker, items[0], known[items[0].place], out)
        shutil.rmtree(out)
        job = SegmentJob(loaded, words, out, batch=batch, save=save)
        timed = TimedWorker(job.worker, None if sleep is None else sleep / 1000, known)
        job.worker = timed  # type: ignore[assignment]
        begin = time.perf_counter()
        run = job.run(items)
        seconds = time.perf_counter() - begin
        if run.failures:
            raise UsageError(f"{len(run.failures)} of {count} images failed: {run.failures[0].reason}")
        clock = {
            "images a second": count / seconds,
            "inside the encoder, % of the clock": 100 * timed.seconds / seconds,
            "inside the encoder, ms an image": 1000 * timed.seconds / count,
        }
        clock |= {} if sleep is None else {"the pauses alone, % of the clock": count * sleep / seconds / 10}
        clock["before the first image, ms"] = 1000 * (timed.begun - begin)
        clock["after the last image, ms"] = 1000 * (begin + seconds - timed.ended)
        sizes = [path.stat().st_size for path in out.rglob("*") if path.is_file()]
        return {**clock, **steps, "written, kB an image": sum(sizes) / count / 1000}


def _steps(worker: SegmentWorker, item: Input, made: Labelled, out: Path) -> dict[str, float]:
    """Milliseconds of the processor that each step takes of one image."""
    results, result = worker.results, made.result
    record = ImageRecord.of(result, "step", "step.jpg", item.place, tuple(item.state()))
    words, image = record.vocabulary, record.pixels()
    found = {
        "decode, ms": _milliseconds(lambda: worker.read(item)),
        "encode and label, ms": _milliseconds(lambda: worker.make([item], [image])),
        "record (codes and scores), ms": _milliseconds(lambda: ImageRecord.of(result, "step", "step.jpg")),
    }
    for name, made_by in results.formats.items():
        found[f"{name}, ms"] = _milliseconds(lambda: made_by.write(out, record))  # noqa: B023
    if "overlay" in results.formats:
        palette = words.palette
        drawn = _milliseconds(lambda: draw_overlay(image, record.labels, words.names, palette))
        found["of the overlay, drawing, ms"] = drawn
    return {**found, "all of writing, ms": _milliseconds(lambda: worker.write(item, made))}


def _milliseconds(step: Callable[[], Any], repetitions: int = 3) -> float:
    """The processor's time of this process, the least of a few runs."""
    found = []
    for _ in range(repetitions):
        begin = time.process_time()
        step()
        found.append(time.process_time() - begin)
    return 1000 * min(found)
