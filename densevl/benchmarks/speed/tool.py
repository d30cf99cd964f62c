"""Benchmarks of speed by name, as ``tools/benchmark.py`` runs them."""

import inspect
import re
from collections.abc import Callable
from typing import Any

from densevl.benchmarks.speed.curves import benchmark_curves
from densevl.benchmarks.speed.files import benchmark_files
from densevl.benchmarks.speed.folder import benchmark_folder
from densevl.benchmarks.speed.heads import benchmark_heads, benchmark_vocabulary
from densevl.benchmarks.speed.referring import benchmark_referring
from densevl.benchmarks.speed.regions import benchmark_regions
from densevl.benchmarks.speed.runs import benchmark, benchmark_batches
from densevl.benchmarks.speed.search import benchmark_search
from densevl.benchmarks.speed.solvers import benchmark_solvers
from densevl.benchmarks.speed.stages import Report
from densevl.benchmarks.speed.start import benchmark_start
from densevl.benchmarks.speed.sweep import Sweep, benchmark_sweep
from densevl.benchmarks.speed.visual_prompts import benchmark_visual_prompts
from densevl.core.errors import UsageError
from densevl.core.geometry import Size
from densevl.metrics.table import Table

__all__ = ["parse_size", "run_benchmark"]

OTHERS: dict[str, Callable[..., Table]] = {
    "visual-prompts": benchmark_visual_prompts,
    "regions": benchmark_regions,
    "refer": benchmark_referring,
    "folder": benchmark_folder,
    "heads": benchmark_heads,
    "vocabulary": benchmark_vocabulary,
    "solvers": benchmark_solvers,
    "search": benchmark_search,
    "files": benchmark_files,
    "start": benchmark_start,
    "curves": benchmark_curves,
}
"""Benchmarks of something else than a model."""


def run_benchmark(name: str, **options: Any) -> Report | Sweep | Table | str:
    """Run a benchmark and return its figures, which can be printed.

    Args:
        name: one of :data:`OTHERS`, a model's name, or a config file.
        options: the options of ``tools/benchmark.py``; sizes are texts such as ``512x683``.

    Raises:
        UsageError: where an option cannot be used, or does not belong to the benchmark.
        WeightsError: where the weights of a model cannot be had.
        OutputError: where a file cannot be written.
    """
    if "size" in options:
        options["size"] = parse_size(options["size"])
    if name not in OTHERS:
        return _model(name, **options)
    function = OTHERS[name]
    if strange := sorted(options.keys() - inspect.signature(function).parameters.keys()):
        raise UsageError(f"the benchmark {name} takes no option {strange[0]!r}")
    return function(**options)


def _model(
    config: str,
    dtype: str = "both",
    json: str | None = None,
    sweep: str | None = None,
    batches: str | None = None,
    compiled: bool = False,
    **options: Any,
) -> Report | Sweep | Table:
    options["dtypes"] = ("float32", "bfloat16") if dtype == "both" else tuple(dtype.split(","))
    if batches is not None:
        if not re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", batches):
            raise UsageError(f"write batches as numbers of images, such as 1,4,16; got {batches!r}")
        return benchmark_batches(config, counts=list(map(int, batches.split(","))), compiled=compiled, **options)
    if sweep is not None:
        options.pop("size", None)  # a sweep has several
        swept = benchmark_sweep(config, **options)
        swept.save(sweep)
        return swept
    report = benchmark(config, **options)
    if json is not None:
        report.save(json)
    return report


def parse_size(text: str) -> Size:
    """(height, width) of a text such as ``512x683``.

    Raises:
        UsageError: where it is none.
    """
    match = re.fullmatch(r"([1-9]\d*)[x×]([1-9]\d*)", text)
    if match is None:
        raise UsageError(f"write a size as HEIGHTxWIDTH, such as 512x683; got {text!r}")
    return int(match[1]), int(match[2])
