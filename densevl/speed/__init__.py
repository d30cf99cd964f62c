"""How fast a model is, beside the plain implementation with the same weights, images and classes."""

from densevl.speed.runs import benchmark, benchmark_batches
from densevl.speed.setting import configured_segmentor, parse_size
from densevl.speed.sweep import Sweep, benchmark_sweep
from densevl.speed.tool import measure

__all__ = [
    "Sweep",
    "benchmark",
    "benchmark_batches",
    "benchmark_sweep",
    "configured_segmentor",
    "measure",
    "parse_size",
]
