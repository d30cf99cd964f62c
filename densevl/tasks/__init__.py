"""The tasks of a user, closed: segmentation, grounding, search, annotation."""

__all__: list[str] = []
