"""From answers to figures."""

__all__: list[str] = []
