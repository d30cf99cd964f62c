"""Time and memory of jobs on folders of many small images: of the first run, and of the same run again."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from densevl.api.jobs.embed import EmbedJob
from densevl.api.jobs.segment import SegmentJob
from densevl.api.loading import load
from densevl.benchmarks.speed.fresh import MEMORY, run_fresh
from densevl.core.drawing.overlay import write_image
from densevl.core.engine import Engine, Outcome, Pipeline, Worker
from densevl.core.engine.pipeline import Take
from densevl.core.errors import UsageError, suggestion
from densevl.core.inputs import find_inputs
from densevl.core.vocabulary import Vocabulary
from densevl.datasets.scenes import render
from densevl.metrics.table import Table

__all__ = ["benchmark_files", "fill"]

WORDS, EXPRESSION, SIDE = "grass, sand, water, brick", "the biggest shape", 32

LABELLED = {"segment": 10_000, "embed": 100}
"""Images up to which the first run works on each; of more, which are all the same, on one, and it writes all."""

RUN = """
import json, sys, time
{memory}
{work}
sys.stdout.flush()
print(json.dumps([time.process_time(), memory("VmHWM")]))
"""
"""A program that works, and then prints its seconds of processor time and its peak memory in MiB."""

COMMAND = "from densevl.cli import main; main(sys.argv[1:])"
FILL = "from densevl.benchmarks.speed.files import fill; fill(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[-1]))"


class CopyingWorker(Worker[Any, Any, Any, Any]):
    """A worker for images that are all the same: it makes the result of one, and writes that of each.

    Args:
        worker: makes and writes it.
    """

    def __init__(self, worker: Worker[Any, Any, Any, Any]) -> None:
        self.worker, self.batch = worker, worker.batch
        self.made: Sequence[Any] = ()

    def read(self, item: Any) -> Any:
        """The image."""
        return self.worker.read(item)

    def make(self, items: Sequence[Any], read: Sequence[Any]) -> Sequence[Any]:
        """The result of the first image, for each."""
        self.made = self.made or self.worker.make(items[:1], read[:1])
        return list(self.made) * len(items)

    def write(self, item: Any, made: Any) -> Any:
        """Write the result of an image."""
        return self.worker.write(item, made)


class CopyingPipeline(Pipeline):
    """A pipeline whose workers are :class:`CopyingWorker`."""

    def stream(self, worker: Worker[Any, Any, Any, Any], take: Take[Any]) -> Iterator[Outcome[Any, Any]]:
        """The outcomes."""
        return super().stream(CopyingWorker(worker), take)


def segmented(photos: Path, out: Path, engine: Engine) -> None:
    """Segment images."""
    model = load("mini-maskclip", short_side=SIDE)
    SegmentJob(model, Vocabulary.parse(WORDS), out, engine=engine).run(find_inputs([photos], out))


def embedded(photos: Path, out: Path, engine: Engine) -> None:
    """Embed images as wholes."""
    EmbedJob(load("mini"), out, "whole", engine=engine).run(find_inputs([photos], out))


class Row(NamedTuple):
    """A job.

    Attributes:
        words: arguments behind the folder of images.
        fill: does the same on an engine; None where the results of images name them, so that none can be copied.
        writes: its results.
    """

    words: tuple[str, ...]
    fill: Callable[[Path, Path, Engine], None] | None
    writes: str


JOBS = {
    "segment": Row(
        (WORDS, "--model", "mini-maskclip", "--set", f"short_side={SIDE}"),
        segmented,
        "mini-maskclip, label maps, overlays and COCO",
    ),
    "embed": Row(("--model", "mini", "--regions", "whole"), embedded, "mini, one region an image"),
    "refer": Row((EXPRESSION, "--model", "mini"), None, "mini, one expression an image"),
}


class Cost(NamedTuple):
    """What a run costs: seconds by the clock and of the processor, and peak memory in MiB."""

    clock: float
    processor: float
    peak: float


def benchmark_files(counts: Sequence[int] = (1000, 10_000), job: str = "segment") -> Table:
    """Measure runs of a job, each in a process of its own, start-up and loading of the model included.

    Args:
        counts: of the images of each folder, 32×32 pixels.
        job: one of :data:`JOBS`.

    Returns:
        A row for each folder: the first run, and the same command again, which finds all of it done.

    Raises:
        UsageError: where the job is unknown.
    """
    if job not in JOBS:
        raise UsageError(f"job {job!r} is unknown; {suggestion(job, tuple(JOBS))}")
    rows, firsts, agains = [], dict[int, float](), dict[int, float]()  # peaks of memory by the number of images
    with TemporaryDirectory() as place:
        for count in counts:
            photos, out = Path(place, f"photos{count}"), Path(place, f"out{count}")
            draw(photos, count)
            command = [job, str(photos), *JOBS[job].words, "--offline", "--out", str(out)]
            whole = count <= LABELLED.get(job, count)
            first = _run(COMMAND if whole else FILL, command)
            again = _run(COMMAND, command)
            agains[count] = again.peak
            if whole:  # the other program takes memory of its own
                firsts[count] = first.peak
            rows.append((f"{count:,}", (*first, *again)))
    note = f"{JOBS[job].writes}, images of {SIDE}×{SIDE} pixels; each run in a process of its own"
    if job in LABELLED:
        note += f"; of more than {LABELLED[job]:,} images, all the same, the first run works on one and writes all"
    for name, peaks in (("the first run", firsts), ("the run again", agains)):
        if len(peaks) > 1:
            each = (max(peaks.values()) - min(peaks.values())) * 2**20 / (max(peaks) - min(peaks))
            note += f"; an image takes {each:.0f} bytes in {name}"
    head = ("images", "first run, s", "processor, s", "peak, MiB", "again, s", "processor, s", "peak, MiB")
    return Table(head, rows, note)


def draw(folder: Path, count: int) -> None:
    """Write so many images of the same scene."""
    write_image(folder / "0.png", render(3, 0, size=(SIDE, SIDE)).image)
    data = (folder / "0.png").read_bytes()
    for number in range(1, count):
        (folder / f"{number}.png").write_bytes(data)


def fill(job: str, photos: Path, out: Path) -> None:
    """Do a job on images that are all the same by working on one of them."""
    if (work := JOBS[job].fill) is not None:
        work(photos, out, Engine(pipeline=CopyingPipeline()))


def _run(work: str, arguments: Sequence[str]) -> Cost:
    clock, (processor, peak) = run_fresh(RUN.format(memory=MEMORY, work=work), arguments)
    return Cost(clock, processor, peak)
