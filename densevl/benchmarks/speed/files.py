"""Time and memory of `densevl segment` on folders of many small images: of the first run, and of the same run again."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from densevl.api.jobs.segment import SegmentJob
from densevl.api.jobs.segment_worker import Labelled, SegmentWorker
from densevl.api.loading import load
from densevl.core.drawing.overlay import write_image
from densevl.core.errors import DensevlError
from densevl.core.inputs import Input, find_inputs
from densevl.core.vocabulary import Vocabulary
from densevl.datasets.scenes import render
from densevl.metrics.table import Table

__all__ = ["benchmark_files", "fill"]

MODEL, WORDS, SIDE = "mini-maskclip", "grass, sand, water, brick", 32

LABELLED = 10_000
"""Images up to which the first run labels each; of more, which are all the same, it labels one and writes all."""

RUN = """
import json, os, sys, time
from pathlib import Path
{work}
sys.stdout.flush()
status = Path("/proc/self/status")
lines = status.read_text().splitlines() if status.exists() else []
peak = next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), float("nan"))
print(json.dumps([time.process_time(), peak]))
"""
"""A program that works, and then prints its seconds of processor time and its peak memory in MiB."""

COMMAND = "from densevl.cli import main; main(sys.argv[1:])"
FILL = "from densevl.benchmarks.speed.files import fill; fill(Path(sys.argv[2]), Path(sys.argv[-1]))"


class Cost(NamedTuple):
    """What a run costs: seconds by the clock and of the processor, and peak memory in MiB."""

    clock: float
    processor: float
    peak: float


def benchmark_files(counts: Sequence[int] = (1000, 10_000)) -> Table:
    """Measure runs of `densevl segment`, each in a process of its own, start-up and loading of the model included.

    Args:
        counts: of the images of each folder, 32×32 pixels.

    Returns:
        A row for each folder: the first run, and the same command again, which finds all of it done.
    """
    rows, costs = [], []
    with TemporaryDirectory() as place:
        for count in counts:
            photos, out = Path(place, f"photos{count}"), Path(place, f"out{count}")
            draw(photos, count)
            command = ["segment", str(photos), WORDS, "--model", MODEL, "--set", f"short_side={SIDE}", "--offline"]
            command += ["--out", str(out)]
            first = _run(RUN.format(work=COMMAND if count <= LABELLED else FILL), command)
            again = _run(RUN.format(work=COMMAND), command)
            costs.append(again)
            rows.append((f"{count:,}", (*first, *again)))
    note = (
        f"{MODEL}, images of {SIDE}×{SIDE} pixels, label maps, overlays and COCO; each run in a process of its own; "
        f"of more than {LABELLED:,} images, which are all the same, the first run labels one and writes all"
    )
    if len(counts) > 1 and counts[-1] != counts[0]:
        each = (costs[-1].peak - costs[0].peak) * 2**20 / (counts[-1] - counts[0])
        note += f"; the run again takes {each:.0f} bytes an image"
    head = ("images", "first run, s", "processor, s", "peak, MiB", "again, s", "processor, s", "peak, MiB")
    return Table(head, rows, note)


def draw(folder: Path, count: int) -> None:
    """Write so many images of the same scene."""
    write_image(folder / "0.png", render(3, 0, size=(SIDE, SIDE)).image)
    data = (folder / "0.png").read_bytes()
    for number in range(1, count):
        (folder / f"{number}.png").write_bytes(data)


class CopyingWorker(SegmentWorker):
    """A worker for images that are all the same: it labels one, and writes the labels of each."""

    made: Labelled | None = None

    def make(self, items: Sequence[Input], read: Sequence[Any]) -> list[Labelled]:
        """The labels of the first image, for each."""
        self.made = self.made or super().make(items[:1], read[:1])[0]
        return [self.made] * len(items)


def fill(photos: Path, out: Path) -> None:
    """Segment images that are all the same by labelling one of them."""
    job = SegmentJob(load(MODEL, short_side=SIDE), Vocabulary.parse(WORDS), out)
    job.worker = CopyingWorker(job.model, job.texts, job.results, job.batch)
    job.run(find_inputs([photos], out))


def _run(program: str, arguments: Sequence[str]) -> Cost:
    start = os.times().elapsed
    ended = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    clock = os.times().elapsed - start
    if ended.returncode:
        raise DensevlError(f"a run ended with {ended.returncode}: {ended.stderr.strip().splitlines()[-1:]}")
    processor, peak = json.loads(ended.stdout.splitlines()[-1])
    return Cost(clock, processor, peak)
