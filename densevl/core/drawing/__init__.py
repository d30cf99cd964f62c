"""Images for people: overlays, lettering, charts and contact sheets."""

__all__: list[str] = []
