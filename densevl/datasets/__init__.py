"""Images and what is known of them."""

__all__: list[str] = []
