"""Further sections of a benchmark's report; one file a lens."""

from densevl.core.registry import Registry

__all__ = ["ANSWER_LENSES"]

ANSWER_LENSES = Registry(
    "lens",
    {
        "hardest": "densevl.benchmarks.lenses.answers.hardest:Hardest",
        "per-image": "densevl.benchmarks.lenses.answers.images:PerImage",
    },
)
