"""Values that are made when they are first used."""

from collections.abc import Callable
from functools import cached_property
from typing import Generic, TypeVar

__all__ = ["Lazy"]

T = TypeVar("T")


class Lazy(Generic[T]):
    """A value that is made once, when it is first used.

    Args:
        make: makes the value; where it raises an error, it is called again the next time.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make

    @classmethod
    def of(cls, value: T) -> "Lazy[T]":
        """A value that is there already."""
        lazy = cls(lambda: value)
        lazy.value  # noqa: B018  (made now)
        return lazy

    @property
    def made(self) -> bool:
        """True where the value is there."""
        return "value" in vars(self)

    @cached_property
    def value(self) -> T:
        """The value."""
        return self._make()
