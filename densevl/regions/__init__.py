"""From regions to vectors."""

__all__: list[str] = []
