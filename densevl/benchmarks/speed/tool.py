"""What ``tools/benchmark.py`` prints."""

import re
from typing import Any

from densevl.benchmarks.speed.runs import benchmark, benchmark_batches
from densevl.benchmarks.speed.setting import parse_size
from densevl.benchmarks.speed.stages import Report
from densevl.benchmarks.speed.sweep import Sweep, benchmark_sweep
from densevl.core.errors import UsageError

__all__ = ["measure"]


def measure(
    config: str,
    *,
    size: str = "512x683",
    dtype: str = "both",
    json: str | None = None,
    sweep: str | None = None,
    batches: str | None = None,
    compiled: bool = False,
    **options: Any,
) -> Report | Sweep | str:
    """What ``tools/benchmark.py`` prints.

    Args:
        config: as for :func:`benchmark`.
        size: ``HEIGHTxWIDTH`` of the scenes that are drawn.
        dtype: of the weights, or ``"both"``.
        json: file for the figures of :func:`benchmark`.
        sweep: file for the chart of :func:`benchmark_sweep`, which is then run.
        batches: numbers of images, ``1,4,16``, for :func:`benchmark_batches`, which is then run.
        compiled: as for :func:`benchmark_batches`.
        options: further arguments of the function that is run.

    Raises:
        UsageError: where an option cannot be used.
        OutputError: where a file cannot be written.
    """
    options["dtypes"] = ("float32", "bfloat16") if dtype == "both" else (dtype,)
    if batches is not None:
        if not re.fullmatch(r"[1-9]\d*(,[1-9]\d*)*", batches):
            raise UsageError(f"write batches as numbers of images, such as 1,4,16; got {batches!r}")
        counts = list(map(int, batches.split(",")))
        return benchmark_batches(config, counts=counts, size=parse_size(size), compiled=compiled, **options)
    if sweep is not None:
        swept = benchmark_sweep(config, **options)
        swept.save(sweep)
        return swept
    report = benchmark(config, size=parse_size(size), **options)
    if json is not None:
        report.save(json)
    return report
