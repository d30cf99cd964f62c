"""Words for the regions of captioned images."""

__all__: list[str] = []
