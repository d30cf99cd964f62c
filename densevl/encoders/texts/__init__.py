"""Text towers."""

__all__: list[str] = []
