"""Segment Anything: its models and weights, and its image encoder from its pieces."""

__all__: list[str] = []
