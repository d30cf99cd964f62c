"""Parts of an image, read where they are wanted: of a TIFF only their blocks, so that memory does not grow with it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import UInt8

from densevl.core.errors import ImageError, first_line
from densevl.core.geometry import Size
from densevl.core.images import as_image, is_plain

__all__ = ["ImageWindows", "open_windows"]

TIFFS = (".tif", ".tiff")

PLAIN = (("uint8", "uint16"), (1, 3))
"""Types and numbers of bands that are read by parts; other files are read whole, as every image is."""


class ImageWindows(Protocol):
    """An image whose parts can be read.

    Attributes:
        size: (height, width).
        pixels: the whole image where it is in memory.
    """

    @property
    def size(self) -> Size: ...

    @property
    def pixels(self) -> UInt8[np.ndarray, "_ _ 3"] | None: ...

    def read(self, box: tuple[int, int, int, int]) -> UInt8[np.ndarray, "h w 3"]:
        """The pixels in a box (left, top, right, bottom), as :func:`densevl.read_image` gives them.

        Raises:
            ImageError: where they cannot be read.
        """


@contextmanager
def open_windows(source: Any) -> Iterator[ImageWindows]:
    """Open an image for reading its parts.

    A TIFF of one or three bands of 8 or 16 bits is read block by block, whatever its size, where rasterio is installed
    (``densevl[geotiff]``). Every other image is read whole.

    Args:
        source: as :func:`densevl.read_image` takes it.

    Raises:
        ImageError: where it cannot be read.
    """
    dataset = _dataset(source)
    if dataset is None:
        yield _Whole(as_image(source))
        return
    with dataset:
        yield _Blocks(dataset, os.fspath(source))


class _Whole:
    """An image in memory."""

    def __init__(self, pixels: UInt8[np.ndarray, "H W 3"]) -> None:
        self.pixels, self.size = pixels, (pixels.shape[0], pixels.shape[1])

    def read(self, box: tuple[int, int, int, int]) -> UInt8[np.ndarray, "h w 3"]:
        left, top, right, bottom = box
        return np.ascontiguousarray(self.pixels[top:bottom, left:right])


class _Blocks:
    """A TIFF on disk."""

    pixels = None

    def __init__(self, dataset: Any, name: str) -> None:
        self.dataset, self.name, self.size = dataset, name, (int(dataset.height), int(dataset.width))

    def read(self, box: tuple[int, int, int, int]) -> UInt8[np.ndarray, "h w 3"]:
        from rasterio.errors import RasterioError
        from rasterio.windows import Window

        left, top, right, bottom = box
        try:
            bands = self.dataset.read(window=Window(left, top, right - left, bottom - top))
        except (RasterioError, OSError) as error:
            raise ImageError(f"{self.name} is damaged ({first_line(error)}); copy or download it again") from error
        if bands.dtype == np.uint16:
            bands = bands >> 8
        three = np.repeat(bands, 3, axis=0) if len(bands) == 1 else bands
        return np.ascontiguousarray(three.transpose(1, 2, 0).astype(np.uint8))


def _dataset(source: Any) -> Any:
    """The open TIFF that can be read by parts as it would be whole; None for every other source."""
    if not isinstance(source, str | os.PathLike) or Path(source).suffix.lower() not in TIFFS:
        return None
    try:
        import rasterio
        from rasterio.errors import RasterioError
    except ImportError:
        return None
    try:
        dataset = rasterio.open(source)
    except (RasterioError, OSError):
        return None  # reading it whole says what is wrong
    kinds, counts = PLAIN
    plain = len(set(dataset.dtypes)) == 1 and dataset.dtypes[0] in kinds and dataset.count in counts
    if plain and is_plain(source):
        return dataset
    dataset.close()
    return None
