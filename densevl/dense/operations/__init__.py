"""The pure functions that dense heads are made of; one file a noun."""

__all__: list[str] = []
