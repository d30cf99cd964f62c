"""From an encoder to dense features."""

__all__: list[str] = []
