"""The ground: values, files, images and geometry; imports nothing else of densevl."""

__all__: list[str] = []
