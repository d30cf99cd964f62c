"""Referring expressions as benchmarks: annotations in every shape that people hold, data sets, metric and model."""

__all__: list[str] = []
