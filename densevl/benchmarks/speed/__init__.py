"""How fast a model is, beside the plain implementation with the same weights, images and classes."""

from densevl.benchmarks.speed.runs import benchmark, benchmark_batches
from densevl.benchmarks.speed.setting import configured_segmentor, parse_size
from densevl.benchmarks.speed.sweep import Sweep, benchmark_sweep
from densevl.benchmarks.speed.tool import measure

__all__ = [
    "Sweep",
    "benchmark",
    "benchmark_batches",
    "benchmark_sweep",
    "configured_segmentor",
    "measure",
    "parse_size",
]
