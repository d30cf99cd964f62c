"""From embeddings of patches, regions or images to class scores."""

__all__: list[str] = []
