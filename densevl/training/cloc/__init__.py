"""CLOC is trained."""

__all__: list[str] = []
