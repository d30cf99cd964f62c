"""Files of LabelMe (https://labelme.io): one JSON for each image, with polygons to be corrected by hand."""

import base64
import os
from pathlib import Path
from typing import Any

import cv2

from densevl.api.jobs.formats.contracts import Format
from densevl.api.jobs.formats.joined import as_text, write_text
from densevl.api.jobs.formats.record import ImageRecord
from densevl.core.polygons import polygons_of

__all__ = ["LabelMeFormat"]

_VERSION = "5.4.1"
"""Of the layout that is written."""


class LabelMeFormat(Format):
    """``labelme/NAME.json``.

    The background and unlabelled pixels have no shape. A segment of several connected parts is several polygons of one
    group. A hole is joined to the outline round it.

    Args:
        embed: put the image into the file, rather than the path from the file to the image.
    """

    def __init__(self, embed: bool = False) -> None:
        self.embed = embed

    def files(self, record: ImageRecord) -> tuple[str, ...]:
        """The shapes of an image."""
        return (f"labelme/{record.name}.json",)

    def write(self, out: Path, record: ImageRecord) -> None:
        """Write the polygons and the image or its path."""
        path = out / self.files(record)[0]
        data: str | None = None
        file = None if self.embed else record.file
        if file is None:
            encoded = cv2.imencode(".png", record.pixels()[..., ::-1])[1].tobytes()
            data = base64.b64encode(encoded).decode("ascii")
            image_path = record.file_name
        else:
            image_path = _relative(file, path.parent)
        made: dict[str, Any] = {
            "version": _VERSION,
            "flags": {},
            "shapes": _shapes(record),
            "imagePath": image_path,
            "imageData": data,
            "imageHeight": record.size[0],
            "imageWidth": record.size[1],
        }
        write_text(path, as_text(made) + "\n")


def _relative(file: Path, folder: Path) -> str:
    """The path of a file from a folder; the whole path where they are on different drives."""
    try:
        return Path(os.path.relpath(file.resolve(), folder.resolve())).as_posix()
    except ValueError:
        return file.as_posix()


def _shapes(record: ImageRecord) -> list[dict[str, Any]]:
    shapes = []
    for group, segment in enumerate(record.segments):
        polygons = polygons_of(*segment.crop())
        for polygon in polygons:
            shapes.append(
                {
                    "label": record.vocabulary.names[segment.label],
                    "points": polygon.ring().astype(float).tolist(),
                    "group_id": group if len(polygons) > 1 else None,
                    "description": "" if segment.score is None else f"score {segment.score:.3f}",
                    "shape_type": "polygon",
                    "flags": {},
                    "mask": None,
                }
            )
    return shapes
