"""Second encoders that tell which patches of an image belong together; one file a kind."""

from densevl.core.registry import Registry

__all__ = ["GUIDES"]

GUIDES = Registry("guide", {})
