"""Label maps as GeoTIFF, in the place of the image that was labelled."""

from pathlib import Path
from typing import Any

import numpy as np

from densevl.api.jobs.formats.contracts import Format
from densevl.api.jobs.formats.record import ImageRecord
from densevl.core.errors import ImageError, UsageError
from densevl.core.files import atomic_write

__all__ = ["GeoTiffFormat"]

_PLACE = (33550, 33922, 34264, 34735, 34736, 34737, 50844)
"""Tags of a GeoTIFF that say where it lies: scale, tie points, transformation, keys of the reference system, RPCs."""

_NODATA = 42113
"""The tag of GDAL for the value of pixels that do not count."""

_ORIENTATION = 274

_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class GeoTiffFormat(Format):
    """``NAME.labels.tif``: 8 bits up to 255 classes, else 16; the background is a value like every class.

    Unlabelled pixels have the largest value, 255 or 65535, and the file says that it is "no data". Where the image is a
    GeoTIFF, the label map lies where it lies: the tags of its georeference are copied as they stand. Of other images
    the file has no georeference.
    """

    of_segments = False

    def __init__(self) -> None:
        try:
            import tifffile  # noqa: F401
        except ImportError:
            raise UsageError("tifffile is not installed; pip install 'densevl[geotiff]'") from None

    def files(self, record: ImageRecord) -> tuple[str, ...]:
        """The label map."""
        return (f"{record.name}.labels.tif",)

    def write(self, out: Path, record: ImageRecord) -> None:
        """Write the label map with the georeference of the image."""
        from tifffile import imwrite

        small = len(record.vocabulary) <= 255
        nodata = 255 if small else 65535
        labels = np.where(record.labels < 0, nodata, record.labels).astype(np.uint8 if small else np.uint16)
        colours: dict[str, Any] = {"photometric": "minisblack"}
        if small:
            palette = np.zeros((3, 256), np.uint16)
            palette[:, : len(record.vocabulary)] = np.array(record.vocabulary.palette, np.uint16).T * 257
            colours = {"photometric": "palette", "colormap": palette}
        text = str(nodata)
        tags = [*_place(record), (_NODATA, "s", 0, text, True)]
        with atomic_write(out / self.files(record)[0]) as temporary:
            imwrite(temporary, labels, compression="zlib", extratags=tags, metadata=None, software="densevl", **colours)


def _place(record: ImageRecord) -> list[Any]:
    """The tags of the georeference of a record's image: code, type, count, value, and "of the first page only".

    Raises:
        ImageError: where the image is a TIFF that is turned or of another size: its georeference is not that of the
            label map.
    """
    file = record.file
    if file is None or not _is_tiff(file):
        return []
    from tifffile import TiffFile

    try:
        with TiffFile(file) as tiff:
            page = tiff.pages.first
            found = [page.tags[code] for code in _PLACE if code in page.tags]
            turned = _ORIENTATION in page.tags and int(page.tags[_ORIENTATION].value) != 1
            size = (page.imagelength, page.imagewidth)
            tags = [(tag.code, int(tag.dtype), tag.count, tag.value, True) for tag in found]
    except Exception as error:  # a damaged file makes the reader raise whatever it stumbles over
        raise ImageError(f"the georeference of {file} cannot be read: {error}") from error
    if tags and (turned or size != tuple(record.size)):
        raise ImageError(f"{file} is stored turned, or of another size than its label map; store it upright")
    return tags


def _is_tiff(file: Path) -> bool:
    with file.open("rb") as start:
        return start.read(4) in _SIGNATURES
