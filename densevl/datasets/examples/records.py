"""Examples of a list of records, in JSON or a line each (JSONL): image, name, and box, mask or point.

For instance ``{"image": "a.jpg", "name": "gadget", "box": [12, 30, 96, 88]}``. A box is xyxy in pixels, a point (x, y).
A mask is polygons or a run-length code as COCO writes them, or the file of an image. Without any of them the whole
image is the example. Paths are looked for beside the file.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from densevl.core.errors import UsageError, shortened, suggestion
from densevl.datasets.examples.example import Example, checked_name, numbers

__all__ = ["is_records", "read_records"]

KEYS = ("image", "name", "box", "mask", "point", "caption")


def is_records(content: Any) -> bool:
    """True for a list of records that name images."""
    return isinstance(content, list) and all(isinstance(one, Mapping) and "image" in one for one in content)


def read_records(content: list[Mapping[str, Any]], path: Path, images: Path | None) -> Iterator[Example]:
    """The examples of a list.

    Args:
        content: the list.
        path: of its file.
        images: folder of the images; None looks beside the file.

    Raises:
        UsageError: where a record is of another format.
    """
    folder = path.parent if images is None else images
    for number, record in enumerate(content, 1):
        place = f"{path}, record {number}"
        unknown = next((key for key in record if key not in KEYS), None)
        if unknown is not None:
            raise UsageError(f"{place}: {unknown!r} is unknown; {suggestion(str(unknown), KEYS)}")
        if not isinstance(record["image"], str) or not record["image"]:
            raise UsageError(f"{place}: image is the path of a file; got {shortened(repr(record['image']))}")
        name, box, point, mask = checked_name(record.get("name"), place), None, None, record.get("mask") or None
        if record.get("box") is not None:
            x0, y0, x1, y1 = numbers(record["box"], 4, place, "box")
            box = (x0, y0, x1, y1)
        if record.get("point") is not None:
            x, y = numbers(record["point"], 2, place, "point")
            point = (x, y)
        if isinstance(mask, str):
            mask = path.parent / mask
        caption = record.get("caption") or ""
        if not isinstance(caption, str):
            raise UsageError(f"{place}: caption is a text; got {shortened(repr(caption))}")
        yield Example(folder / record["image"], name, place, box, mask, point, caption=caption)
