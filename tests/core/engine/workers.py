"""Workers that die, fail and fill the disk where the name of an item says so."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from densevl.core.engine import Worker
from densevl.core.errors import ImageError, OutputError


@dataclass(frozen=True)
class Word:
    """An item."""

    place: str


class Shouter(Worker[Word, str, str, str]):
    """Says each word in capitals."""

    batch = 2

    def read(self, item: Word) -> str:
        if "bad" in item.place:
            raise ImageError(f"{item.place} is bad")
        return item.place

    def make(self, items: Sequence[Word], read: Sequence[str]) -> list[str]:
        if any("kill" in item.place for item in items):
            os._exit(9)
        return [word.upper() for word in read]

    def write(self, item: Word, made: str) -> str:
        if "full" in item.place:
            raise OutputError("the disk is full")
        return made


@dataclass(frozen=True)
class ShouterRecipe:
    """Makes a :class:`Shouter`."""

    def __call__(self) -> Shouter:
        return Shouter()
