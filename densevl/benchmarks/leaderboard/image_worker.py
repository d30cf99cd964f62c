"""Images of a data set labelled by all models of a leaderboard, one after the other, in whatever process."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from densevl.benchmarks.leaderboard.contender import Contender
from densevl.benchmarks.leaderboard.sets import BenchmarkSet
from densevl.benchmarks.leaderboard.shared import share_encoders
from densevl.benchmarks.leaderboard.tally import Counted
from densevl.core.engine import Worker
from densevl.dense.guides.kept import KEPT, Kept

__all__ = ["BoardImage", "BoardRecipe", "BoardWorker"]

Counts = tuple[Counted | None, ...]
"""Of each model what was counted of an image; None where an earlier run has done so."""


@dataclass(frozen=True)
class BoardImage:
    """An image of a data set.

    Attributes:
        index: in the data set.
        data: name of the data set.
    """

    index: int
    data: str

    @property
    def place(self) -> str:
        """The image in words."""
        return f"image {self.index} of {self.data}"


class BoardWorker(Worker[BoardImage, None, Counts, Counts]):
    """Reads images of a data set and lets models label them.

    Args:
        contenders: models on the data set; those on the same weights share passes from now on.
        data: the data set.
        starts: of each model the images that an earlier run has counted.

    Attributes:
        shared: number of models that share an encoder with another.
    """

    batch = 1

    def __init__(self, contenders: Sequence[Contender], data: BenchmarkSet, starts: Sequence[int]) -> None:
        self.contenders, self.data, self.starts = list(contenders), data, list(starts)
        self.passes = Kept(2**34)  # cleared after each image
        self.shared = share_encoders([one.model.segmentor for one in self.contenders], self.passes)
        for one in self.contenders:
            one.model.prepare(data.dataset)

    def read(self, item: BoardImage) -> None:
        """Nothing: what is read meanwhile would take processors from the model whose time is measured."""

    def make(self, items: Sequence[BoardImage], read: Sequence[None]) -> list[Counts]:
        """Read images, label them and count their pixels."""
        return [self._counted(item.index) for item in items]

    def write(self, item: BoardImage, made: Counts) -> Counts:
        """Nothing is written here; the counts are handed on."""
        return made

    def _counted(self, index: int) -> Counts:
        sample = self.data.dataset[index]
        kept = (self.passes, KEPT)
        pairs = zip(self.contenders, self.starts, strict=True)
        found = tuple(one.measure(sample, kept) if start <= index else None for one, start in pairs)
        self.passes.clear()
        return found


@dataclass(frozen=True)
class BoardRecipe:
    """How another process makes its worker.

    Attributes:
        opened: opens the data set; it can be sent there.
        built: builds a model for the data set, from its name and this; it can be sent there.
        models: their names.
        starts: of each the images that an earlier run has counted.
    """

    opened: Callable[[], BenchmarkSet]
    built: Callable[[str, BenchmarkSet], Contender]
    models: tuple[str, ...]
    starts: tuple[int, ...]

    def __call__(self) -> BoardWorker:
        """The worker.

        Raises:
            DensevlError: where a model or the data set cannot be had there.
        """
        data = self.opened()
        return BoardWorker([self.built(name, data) for name in self.models], data, self.starts)
