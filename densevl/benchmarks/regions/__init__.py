"""Regions as benchmarks: which name or which caption belongs to a given box."""

__all__: list[str] = []
