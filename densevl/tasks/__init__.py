"""What is done for a user."""

__all__: list[str] = []
