"""Speed and memory: of models beside the plain implementation, of drawing visual prompts, of embedding regions."""

from densevl.benchmarks.speed.runs import benchmark, benchmark_batches, configured_segmentor
from densevl.benchmarks.speed.sweep import Sweep, benchmark_sweep
from densevl.benchmarks.speed.tool import parse_size, run_benchmark

__all__ = [
    "Sweep",
    "benchmark",
    "benchmark_batches",
    "benchmark_sweep",
    "configured_segmentor",
    "parse_size",
    "run_benchmark",
]
