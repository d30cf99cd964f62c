"""The photos that the tables of the model ``photo`` measure on: COCO's, with what is on them.

Expected below a folder: ``coco/val2017`` with the photos, ``coco/annotations/instances_val2017.json`` and, for search,
``coco/annotations/panoptic_val2017.json``; any part of COCO does. Settings are chosen on the even photos of the
instances, sorted by id, and figures hold for the odd ones.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from densevl.core.errors import UsageError
from densevl.core.files import read_json
from densevl.core.geometry import Size
from densevl.core.readings import UnknownWord
from densevl.encoders.texts.lexicon import Lexicon

__all__ = ["LEAST", "Photo", "Thing", "instances", "known_names", "read_photos", "read_search_photos"]

LEAST = 1000
"""Area in pixels that the mask of a thing is larger than."""


@dataclass(frozen=True)
class Thing:
    """A thing on a photo.

    Attributes:
        name: of its class.
        box: xyxy pixels, half-open.
        area: of its mask in pixels.
    """

    name: str
    box: tuple[float, float, float, float]
    area: float


@dataclass(frozen=True)
class Photo:
    """A photo with its things, crowds apart.

    Attributes:
        path: its file.
        size: (height, width).
        things: on it, small ones too.
        names: classes of all that is on it, crowds included.
        chosen_on: True where settings were chosen on it.
        vocabulary: names of all classes of things of its data set.
    """

    path: Path
    size: Size
    things: tuple[Thing, ...]
    names: frozenset[str] = field(default=frozenset())
    chosen_on: bool = False
    vocabulary: tuple[str, ...] = ()

    @cached_property
    def large(self) -> tuple[Thing, ...]:
        """The things that are large enough to be asked for."""
        return tuple(thing for thing in self.things if thing.area > LEAST)


def read_photos(data: Path | None) -> list[Photo]:
    """The photos with instances, sorted by id.

    Raises:
        UsageError: where there is no folder, or a file of it is missing or of another format.
    """
    shown, names = instances(data)
    assert data is not None
    return [_photo(data, image, found, names, place % 2 == 0) for place, (image, found) in enumerate(shown)]


def instances(
    data: Path | None,
) -> tuple[list[tuple[Mapping[str, Any], list[Mapping[str, Any]]]], dict[Any, str]]:
    """The photos of COCO's instances, sorted by id, each with what is on it, and the names of the classes by id.

    Raises:
        UsageError: where there is no folder, or the file is missing or of another format.
    """
    if data is None:
        raise UsageError("data: this table measures on photos; give --data, the folder that holds coco/")
    path = data / "coco" / "annotations" / "instances_val2017.json"
    content = read_json(path)
    ordered = sorted(_records(content, "images", path), key=lambda image: image["id"])
    names = {entry["id"]: entry["name"] for entry in _records(content, "categories", path)}
    found: dict[Any, list[Mapping[str, Any]]] = {image["id"]: [] for image in ordered}
    for entry in _records(content, "annotations", path):
        found[entry["image_id"]].append(entry)
    return [(image, found[image["id"]]) for image in ordered], names


def read_search_photos(data: Path | None) -> list[Photo]:
    """The photos with instances, and behind them those whose things are known from their panoptic segments.

    Raises:
        UsageError: as :func:`read_photos`.
    """
    photos = read_photos(data)
    assert data is not None
    annotations = data / "coco" / "annotations" / "panoptic_val2017.json"
    content = read_json(annotations)
    names = {entry["id"]: entry["name"] for entry in _records(content, "categories", annotations)}
    images = {image["id"]: image for image in _records(content, "images", annotations)}
    have = {photo.path.name for photo in photos}
    for entry in _records(content, "annotations", annotations):
        image = images[entry["image_id"]]
        if image["file_name"] not in have:
            photos.append(_photo(data, image, entry["segments_info"], names, False))
    return photos


def known_names(names: Sequence[str], lexicon: Lexicon) -> list[str]:
    """The names that a lexicon knows well; of "person" and such, hardly any kinds are known, so it is left out."""
    return [name for name in names if _known(name, lexicon)]


def _known(name: str, lexicon: Lexicon) -> bool:
    try:
        return not lexicon.read(name).sense.sparse
    except UnknownWord:
        return False


def _photo(
    data: Path, image: Mapping[str, Any], entries: Sequence[Mapping[str, Any]], names: Mapping[Any, str], chosen: bool
) -> Photo:
    things = tuple(_things(entries, names))
    said = frozenset(names[entry["category_id"]] for entry in entries if entry["category_id"] in names)
    path = data / "coco" / "val2017" / image["file_name"]
    return Photo(path, (image["height"], image["width"]), things, said, chosen, tuple(names.values()))


def _things(entries: Sequence[Mapping[str, Any]], names: Mapping[Any, str]) -> Iterator[Thing]:
    for entry in entries:
        left, top, width, height = map(float, entry["bbox"])
        if not entry.get("iscrowd") and width > 0 and height > 0:
            yield Thing(names[entry["category_id"]], (left, top, left + width, top + height), float(entry["area"]))


def _records(content: Any, name: str, path: Path) -> list[Mapping[str, Any]]:
    if not isinstance(content, Mapping) or not isinstance(content.get(name), list):
        raise UsageError(
            f"{path} lacks images, annotations or categories: it has no list {name!r}; expected the format of COCO's "
            "instances or panoptic segments"
        )
    return list(content[name])
