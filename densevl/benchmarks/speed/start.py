"""Time from the start of a process to its first segmented image, and where it goes."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from densevl.core.drawing.overlay import write_image
from densevl.core.errors import DensevlError
from densevl.datasets.scenes import render
from densevl.metrics.table import Table

__all__ = ["benchmark_start"]

PROGRAM = """
import json, sys, time
from pathlib import Path
stamps = []
def stamp():
    stamps.append((time.time(), time.process_time()))
from densevl.api.jobs.segment import SegmentJob
from densevl.api.loading import load
from densevl.core.inputs import find_inputs
from densevl.core.vocabulary import Vocabulary
stamp()
model = load(sys.argv[1])
model.segmentor
stamp()
job = SegmentJob(model, Vocabulary.parse("cat"), Path(sys.argv[3]))
stamp()
job.run(find_inputs([sys.argv[2]]))
stamp()
print(json.dumps(stamps))
"""
"""What `densevl segment IMAGE cat --model NAME` does, with the time after each step."""


def benchmark_start(models: Sequence[str] = ("photo", "mini-maskclip"), repetitions: int = 5) -> Table:
    """Measure the start of models in turn, each time in a fresh process; the first round is not counted.

    Args:
        models: their names.
        repetitions: of each.

    Returns:
        A row for each: seconds by the clock for imports, the model, its texts and the first image of 480×640 pixels,
        all of it, and its processor time.
    """
    found: dict[str, list[list[float]]] = {name: [] for name in models}
    with TemporaryDirectory() as folder:
        image = Path(folder, "image.png")
        write_image(image, render(3, 0, size=(480, 640)).image)
        for turn in range(repetitions + 1):
            for name in models:
                steps = _start(name, image, Path(folder, f"{name}-{turn}"))
                found[name] += [steps] if turn else []
    rows = [(name, [*map(median, zip(*steps, strict=True))]) for name, steps in found.items()]
    written = [(name, [f"{second:.2f}" for second in seconds]) for name, seconds in rows]
    head = ("model", "imports, s", "model, s", "texts, s", "first image, s", "all, s", "processor, s")
    return Table(
        head, written, f"medians of {repetitions} fresh processes of each, in turn; an image of 480×640 pixels"
    )


def _start(name: str, image: Path, out: Path) -> list[float]:
    began = time.time()
    command = [sys.executable, "-c", PROGRAM, name, str(image), str(out)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise DensevlError(f"a run of {name} ended with {ended.returncode}: {ended.stderr.strip().splitlines()[-1:]}")
    stamps = json.loads(ended.stdout.splitlines()[-1])
    clock = [began, *(stamp for stamp, _ in stamps)]
    return [*(end - start for start, end in pairwise(clock)), clock[-1] - began, stamps[-1][1]]
