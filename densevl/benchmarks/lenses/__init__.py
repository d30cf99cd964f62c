"""Lenses: questions that a model is asked by themselves, each a section of the report of ``densevl check --lens``.

The lenses of :mod:`densevl.benchmarks.lenses.answers` look at the answers that a benchmark asks for anyway.
"""

from densevl.core.registry import Registry

__all__ = ["LENSES"]

LENSES = Registry(
    "lens",
    {
        "association": "densevl.benchmarks.lenses.association:Association",
        "calibration": "densevl.benchmarks.lenses.calibration:Calibration",
        "corruptions": "densevl.benchmarks.lenses.corruptions:Corruptions",
        "cues": "densevl.benchmarks.lenses.cues:Cues",
        "factors": "densevl.benchmarks.lenses.factors:Factors",
        "frequency": "densevl.benchmarks.lenses.frequency:Frequency",
        "matching": "densevl.benchmarks.lenses.matching:Matching",
        "ood": "densevl.benchmarks.lenses.ood:OutOfDistribution",
        "probes": "densevl.benchmarks.lenses.probes:Probes",
    },
)
