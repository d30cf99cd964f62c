"""What tuning makes small; one file a loss."""

from densevl.core.registry import Registry

__all__ = ["LOSSES"]

LOSSES = Registry(
    "loss",
    {},
)
