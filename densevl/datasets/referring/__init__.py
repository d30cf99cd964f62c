"""Data sets of referring expressions."""

__all__: list[str] = []
