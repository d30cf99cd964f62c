"""Lenses: questions that a model is asked by themselves, each a section of the report of ``densevl check --lens``.

The lenses of :mod:`densevl.benchmarks.lenses.answers` look at the answers that a benchmark asks for anyway.
"""

from densevl.core.registry import Registry

__all__ = ["LENSES"]

LENSES = Registry(
    "lens",
    {
        "calibration": "densevl.benchmarks.lenses.calibration:Calibration",
        "corruptions": "densevl.benchmarks.lenses.corruptions:Corruptions",
        "matching": "densevl.benchmarks.lenses.matching:Matching",
        "ood": "densevl.benchmarks.lenses.ood:OutOfDistribution",
        "probes": "densevl.benchmarks.lenses.probes:Probes",
    },
)
