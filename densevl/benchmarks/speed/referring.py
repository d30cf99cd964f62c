"""Time and memory to refer: whole models with random weights of their real size, each in a process of its own."""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from densevl.api.loading import load
from densevl.api.models import model_entry
from densevl.benchmarks.speed.visual_prompts import drawn_from_seed
from densevl.core.errors import DensevlError, UsageError
from densevl.core.geometry import Size
from densevl.metrics.table import Table

__all__ = ["benchmark_referring"]

EXPRESSIONS = ("the left dog", "the bowl under the table", "woman in red")
ALONE = "import sys; from densevl.benchmarks.speed.referring import measure_alone; measure_alone(*sys.argv[1:])"


def benchmark_referring(
    models: Sequence[str] = ("fgvp", "fgvp-b16"), count: int = 20, size: Size = (480, 640), repetitions: int = 1
) -> Table:
    """Measure models in turn: an image of noise, boxes drawn from a seed, three expressions; nothing is fetched.

    Args:
        models: names of models with a grounder.
        count: number of boxes.
        size: (height, width) of the image.
        repetitions: of each measurement; each is a new process, whose first answer is the one that counts.

    Returns:
        A row for each model: its weights, processor time of the answer and how much of it is the system's, time on the
        clock, the most memory that the process took. Medians.

    Raises:
        UsageError: where a model is unknown or has no grounder, or a number is below 1.
        DensevlError: where a process ended without an answer, such as for want of memory.
    """
    if min(count, repetitions) < 1:
        raise UsageError(f"count and repetitions must be at least 1; got {count} and {repetitions}")
    if strange := [name for name in models if not model_entry(name).grounder]:
        raise UsageError(f"model {strange[0]!r} has no grounder; see `densevl models`")
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in models}
    for _ in range(repetitions):
        for name, found in rows.items():
            command = [sys.executable, "-c", ALONE, name, *map(str, (count, *size))]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise DensevlError(f"model {name!r} could not be measured: {done.stderr.strip()[-500:]}")
            found.append(json.loads(done.stdout))
    table = []
    for name, found in rows.items():
        best = sorted(found, key=lambda one: one["processor"])[len(found) // 2]
        table.append((name, (model_entry(name).size / 1e9, *best.values())))
    height, width = size
    note = f"{count} boxes of a {width}×{height} image, {len(EXPRESSIONS)} expressions, random weights"
    return Table(("", "weights, GB", "processor, s", "of it the system, s", "clock, s", "peak memory, GB"), table, note)


def measure_alone(name: str, *numbers: str) -> None:
    """Print the cost of one answer of a new model as JSON."""
    count, height, width = map(int, numbers)
    model = load(name, device="cpu", **_random_weights(name))
    image, regions = drawn_from_seed(count, (height, width))
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    model.refer(image, list(EXPRESSIONS), regions.boxes)
    after = resource.getrusage(resource.RUSAGE_SELF)
    system = after.ru_stime - before.ru_stime
    cost = {
        "processor": after.ru_utime - before.ru_utime + system,
        "system": system,
        "clock": time.perf_counter() - start,
        "peak": after.ru_maxrss * 1024 / 1e9,
    }
    print(json.dumps(cost))


def _random_weights(name: str) -> dict[str, Any]:
    """The changes that give every part of a grounder random weights."""
    embedders = range(len(model_entry(name).grounder["embedders"]))
    changes = {f"grounder.embedders.{i}.encoder.weights": "random:0" for i in embedders}
    return {**changes, "grounder.mask_maker.weights": "random:0"}
