"""Further sections of a benchmark's report; one file a lens."""

from densevl.core.registry import Registry

__all__ = ["LENSES"]

LENSES = Registry(
    "lens",
    {
        "hardest": "densevl.benchmarks.lenses.hardest:Hardest",
        "per-image": "densevl.benchmarks.lenses.images:PerImage",
    },
)
