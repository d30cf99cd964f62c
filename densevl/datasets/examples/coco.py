"""Examples of a file in the format of COCO (https://cocodataset.org/#format-data): boxes, polygons, run-length codes.

Crowds are left out, since they show no single thing. Convention: boxes of the file are corner, width and height.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from densevl.core.errors import UsageError, shortened
from densevl.datasets.examples.example import Example, checked_name, numbers

__all__ = ["is_coco", "read_coco"]

LISTS = ("images", "annotations", "categories")


def is_coco(content: Any) -> bool:
    """True for the content of such a file."""
    return isinstance(content, Mapping) and {"images", "annotations"} <= set(content)


def read_coco(content: Mapping[str, Any], path: Path, images: Path | None) -> Iterator[Example]:
    """The examples of a file.

    Args:
        content: of the file.
        path: of the file.
        images: folder of the images; None looks beside the file, and where COCO keeps them.

    Raises:
        UsageError: where an entry is of another format.
    """
    for name in LISTS:
        entries = content.get(name)
        if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
            raise UsageError(f"{path} has no list {name!r}: expected the format of COCO's instances_val2017.json")
    names = {entry.get("id"): entry.get("name") for entry in content["categories"]}
    files = {entry.get("id"): _file(entry, path, images) for entry in content["images"]}
    for number, entry in enumerate(content["annotations"]):
        place = f"{path}, annotation {entry.get('id', number)}"
        if entry.get("iscrowd"):
            continue
        for key, known in (("image_id", files), ("category_id", names)):
            if entry.get(key) not in known:
                raise UsageError(f"{place}: {key} {shortened(repr(entry.get(key)))} is not listed in the file")
        left, top, width, height = numbers(entry.get("bbox"), 4, place, "bbox")
        box = (left, top, left + width, top + height)
        name = checked_name(names[entry["category_id"]], place)
        yield Example(files[entry["image_id"]], name, place, box, entry.get("segmentation") or None)


def _file(entry: Mapping[str, Any], path: Path, images: Path | None) -> Path:
    """The file of an image; where none is found, the place where it was looked for first."""
    name = entry.get("file_name") or "/".join(str(entry.get("coco_url", "")).split("/")[-2:])
    if not isinstance(name, str) or not name:
        raise UsageError(f"{path}: image {entry.get('id')} has no file_name")
    split = path.stem.rpartition("_")[2]  # COCO keeps the images of instances_val2017.json in val2017
    folders = [path.parent, path.parent / "images", path.parent.parent, path.parent.parent / split]
    places = [folder / name for folder in ([images] if images is not None else folders)]
    return next((place for place in places if place.is_file()), places[0])
