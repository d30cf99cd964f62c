"""Images with masks looked at on the grid of a feature stack, one after the other, in whatever process."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from densevl.core.engine import HERE, Engine, Worker, all_of
from densevl.dense.stack import FeatureStack
from densevl.encoders.contracts import Encoder
from densevl.tasks.segmentation.segmentor import Segmentor
from densevl.tasks.segmentation.stacked import stacked_segmentor
from densevl.tasks.teaching.masked_cells import MaskedCells, MaskedImage, masked_cells

__all__ = ["CellRecipe", "CellWorker", "StackedImage", "cells_of_images"]

MOST = 2
"""Images that a process is given at once: what comes of one may have a hundred megabytes."""


@dataclass(frozen=True)
class StackedImage:
    """An image with masks, and how it is looked at.

    Attributes:
        image: alone in a sequence, which may read it when it is asked for, so that it can be sent without its pixels.
        number: of the image, from 0.
        stack: the feature stack.
        fold: of the image; None cuts it into stripes.
        lights: look at it in other lights, too.
        most: cells that are kept to judge by.
        flip: learn from the mirror image, too.
    """

    image: Sequence[MaskedImage]
    number: int
    stack: FeatureStack
    fold: int | None
    lights: bool
    most: int
    flip: bool

    @property
    def place(self) -> str:
        """The image and the stack in words."""
        return f"image {self.number + 1} with {self.stack.short_side} pixels"


class CellWorker(Worker[StackedImage, MaskedImage, MaskedCells, MaskedCells]):
    """Reads images with masks, and makes the cells of a feature stack of them.

    Args:
        encoder: whose maps are stacked.
        classes: their number.
    """

    batch = 1

    def __init__(self, encoder: Encoder, classes: int) -> None:
        self.encoder, self.classes = encoder, classes
        self._segmentors: dict[FeatureStack, Segmentor] = {}

    def read(self, item: StackedImage) -> MaskedImage:
        """The image with its masks."""
        return item.image[0]

    def make(self, items: Sequence[StackedImage], read: Sequence[MaskedImage]) -> list[MaskedCells]:
        """What images tell on the grid of a stack."""
        return [self._cells(item, image) for item, image in zip(items, read, strict=True)]

    def write(self, item: StackedImage, made: MaskedCells) -> MaskedCells:
        """Nothing is written; the cells are handed on."""
        return made

    def _cells(self, item: StackedImage, image: MaskedImage) -> MaskedCells:
        segmentor = self._segmentors.get(item.stack)
        if segmentor is None:
            segmentor = self._segmentors[item.stack] = stacked_segmentor(self.encoder, item.stack)
        return masked_cells(segmentor, image, self.classes, item.fold, item.lights, item.most, item.flip)


@dataclass(frozen=True)
class CellRecipe:
    """How another process makes its worker.

    Attributes:
        encoder: makes it; it can be sent there.
        classes: their number.
    """

    encoder: Callable[[], Encoder]
    classes: int

    def __call__(self) -> CellWorker:
        """The worker.

        Raises:
            DensevlError: where the model cannot be loaded there.
        """
        return CellWorker(self.encoder(), self.classes)


def cells_of_images(
    items: Sequence[StackedImage],
    encoder: Encoder,
    classes: int,
    engine: Engine = HERE,
    again: Callable[[], Encoder] | None = None,
) -> Iterator[MaskedCells]:
    """What each of several images tells on the grid of its stack, in their order.

    Args:
        items: the images.
        encoder: whose maps are stacked.
        classes: their number.
        engine: where images are encoded; the cells are the same to the last bit where its threads are.
        again: makes the encoder in other processes; needed where the engine has any.

    Raises:
        ImageError: where an image cannot be read.
        UsageError: where a mask does not fit its image.
    """
    recipe = None if again is None else CellRecipe(again, classes)
    return all_of(engine, recipe, items, CellWorker(encoder, classes), MOST)
