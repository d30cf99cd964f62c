"""Image towers."""

__all__: list[str] = []
