"""Runs over many files."""

__all__: list[str] = []
