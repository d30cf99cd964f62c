"""Names of classes: by them what belongs to a heavy library is told without importing it."""

__all__ = ["class_names"]


def class_names(kind: type) -> list[str]:
    """The name of a class and those of the classes that it inherits from, nearest first.

    Args:
        kind: a class.

    Returns:
        Each with its module, such as ``"open_clip.transformer.VisionTransformer"``.
    """
    return [f"{one.__module__}.{one.__qualname__}" for one in kind.__mro__]
