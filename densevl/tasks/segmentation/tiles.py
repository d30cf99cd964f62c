"""Tiles of a large image: each is an image of its own to the model, so that memory does not grow with the image.

Tiles overlap. Of two neighbours, each pixel has the label of the one whose edge is farther away.

Where a protocol has windows and does not resize (``short_side=None``), tiles begin and end where windows do. The
labels are those of the whole image then, if a tile is at least 2 · window + 2 · stride wide and neighbours share at
least 2 · (window - stride).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Float32, Int32, UInt8
from tqdm import tqdm

from densevl.core.errors import UsageError
from densevl.core.geometry import Size

__all__ = ["Tile", "Tiling", "label_tiles"]

Box = tuple[int, int, int, int]
"""(left, top, right, bottom) in pixels of the image as given, half-open."""


@dataclass(frozen=True)
class Tile:
    """A tile of an image.

    Attributes:
        crop: the pixels that the model sees.
        core: the pixels that get their labels of it; the cores of all tiles are the image.
    """

    crop: Box
    core: Box


@dataclass(frozen=True)
class Tiling:
    """How images are cut into tiles.

    Attributes:
        side: of a tile in pixels of the image as given; an image that is no larger is one tile.
        overlap: of neighbours in pixels; None for an eighth of the side.
        windows: side and stride of windows that see the image as given; a tile is made smaller by less than a stride
            so that they fit into it. None where the model resizes each tile.

    Raises:
        UsageError: where tiles would not cover an image, or would not move.
    """

    side: int
    overlap: int | None = None
    windows: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        window, step = self.windows or (1, 1)
        if self.side < window or self.shared < 0 or self.side - self.shared < 2 * step:
            raise UsageError(
                f"tile={self.side}, overlap={self.shared}: expected tiles of {window} pixels or more that move by "
                f"{2 * step} or more; enlarge the tile or lower the overlap"
            )

    @property
    def shared(self) -> int:
        """Pixels that neighbours share at least."""
        return self.side // 8 if self.overlap is None else self.overlap

    @property
    def name(self) -> str:
        """For protocols: everything that decides the tiles."""
        return f"{self.side} px, {self.shared} px overlap"

    def tiles(self, size: Size) -> Iterator[Tile]:
        """The tiles of an image in reading order.

        Args:
            size: (height, width) of the image.
        """
        for (top, bottom, first, last), (left, right, begin, end) in product(*map(self._along, size)):
            yield Tile((left, top, right, bottom), (begin, first, end, last))

    def _along(self, length: int) -> list[tuple[int, int, int, int]]:
        """Start and end of the crops along a side of the image, and of their cores."""
        window, step = self.windows or (1, 1)
        side = window + (self.side - window) // step * step
        last = max(0, -(-(length - side) // step) * step)
        starts = [*range(0, last, (side - self.shared) // step * step), last]
        ends = [min(start + side, length) for start in starts]
        cuts = [0, *((end + start) // 2 for end, start in zip(ends[:-1], starts[1:], strict=True)), length]
        return list(zip(starts, ends, cuts[:-1], cuts[1:], strict=True))


def label_tiles(
    tiling: Tiling,
    size: Size,
    read: Callable[[Box], UInt8[np.ndarray, "_ _ 3"]],
    label: Callable[[UInt8[np.ndarray, "_ _ 3"]], tuple[np.ndarray, np.ndarray]],
) -> tuple[Int32[np.ndarray, "H W"], Float32[np.ndarray, "H W"]]:
    """The labels of an image and their probabilities, tile by tile.

    Args:
        tiling: how it is cut.
        size: (height, width) of the image.
        read: the pixels of a crop.
        label: the labels of a crop and their probabilities.
    """
    labels, best = np.empty(size, np.int32), np.empty(size, np.float32)
    tiles = list(tiling.tiles(size))
    for tile in tqdm(tiles, desc="tiles", delay=2, disable=None, leave=False):
        found, sure = label(read(tile.crop))
        left, top, right, bottom = tile.core
        inner = np.s_[top - tile.crop[1] : bottom - tile.crop[1], left - tile.crop[0] : right - tile.crop[0]]
        labels[top:bottom, left:right], best[top:bottom, left:right] = found[inner], sure[inner]
    return labels, best
