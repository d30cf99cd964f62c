"""Workers that die, fail and fill the disk where the name of an item says so."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from densevl.core.engine import Worker
from densevl.core.errors import ImageError, OutputError, WeightsError


@dataclass(frozen=True)
class Word:
    """An item."""

    place: str


class Shouter(Worker[Word, str, str, str]):
    """Says each word in capitals.

    Args:
        marks: folder where a file for each word says that a process has died with it; a word with "once" kills one.
            At a word that begins with "gpu" two processes meet there, and it says which GPUs its own one sees.
        seconds: that a word takes.
    """

    batch = 2

    def __init__(self, marks: Path | None = None, seconds: float = 0.0) -> None:
        self.marks, self.seconds = marks, seconds

    def read(self, item: Word) -> str:
        if "bad" in item.place:
            raise ImageError(f"{item.place} is bad")
        return item.place

    def make(self, items: Sequence[Word], read: Sequence[str]) -> list[str]:
        time.sleep(self.seconds)
        for item in items:
            if "kill" in item.place or ("once" in item.place and self._first(item)):
                os._exit(9)
            if "bug" in item.place:
                raise KeyError(item.place)
        return [self._gpus() if word.startswith("gpu") else word.upper() for word in read]

    def write(self, item: Word, made: str) -> str:
        if "full" in item.place:
            raise OutputError("the disk is full")
        return made

    def _gpus(self) -> str:
        assert self.marks is not None
        (self.marks / str(os.getpid())).touch()
        deadline = time.monotonic() + 60
        while len(list(self.marks.iterdir())) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        return os.environ["CUDA_VISIBLE_DEVICES"]

    def _first(self, item: Word) -> bool:
        assert self.marks is not None
        try:
            (self.marks / item.place).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


@dataclass(frozen=True)
class ShouterRecipe:
    """Makes a :class:`Shouter`, or fails to.

    Attributes:
        marks: its folder.
        seconds: that a word takes it.
        ends: what becomes of it: nothing, ``"dies"`` or ``"lacks weights"``.
    """

    marks: Path | None = None
    seconds: float = 0.0
    ends: str = ""

    def __call__(self) -> Shouter:
        if self.ends == "dies":
            os._exit(9)
        if self.ends == "lacks weights":
            raise WeightsError("the weights are not here")
        return Shouter(self.marks, self.seconds)
