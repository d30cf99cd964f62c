"""Data sets of annotated regions."""

__all__: list[str] = []
