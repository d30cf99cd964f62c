"""The records that every format is tested with."""

from toys.records import images, parts, records

__all__ = ["images", "parts", "records"]
