"""Training of CLOC: its losses, its model, and the files that come of it."""

__all__: list[str] = []
