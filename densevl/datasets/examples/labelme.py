"""Examples of files of LabelMe (https://labelme.io): one JSON for each image, with its shapes.

Polygons, rectangles, circles and points are read; lines show no region and are an error. An image that is not there but
is embedded in the file (``imageData``, in base64) is kept in the cache by the hash of its bytes.
"""

import base64
import binascii
import hashlib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from densevl.core.errors import ImageError, UsageError, shortened
from densevl.core.files import atomic_write
from densevl.core.images import encoded_size
from densevl.core.kept import cache_dir
from densevl.datasets.examples.example import Example, checked_name, numbers

__all__ = ["is_labelme", "read_labelme"]

CORNERS = 32
"""Corners of the polygon that stands for a circle."""

MOST = 200_000_000
"""Characters of an embedded image that are read, 150 MB of a file."""


def is_labelme(content: Any) -> bool:
    """True for the content of such a file."""
    return isinstance(content, Mapping) and "shapes" in content and "imagePath" in content


def read_labelme(content: Mapping[str, Any], path: Path, images: Path | None) -> Iterator[Example]:
    """The examples of a file; polygons of one group and one name are one region.

    Args:
        content: of the file.
        path: of the file.
        images: folder of the images; None takes the path in the file, the image beside it, or the embedded one.

    Raises:
        UsageError: where a shape is of another format, or of a kind that shows no region, or an embedded image that is
            needed is damaged or too large.
    """
    name, shapes = content["imagePath"], content["shapes"]
    if not isinstance(name, str) or not isinstance(shapes, list):
        raise UsageError(f"{path} is no file of LabelMe: expected a text imagePath and a list of shapes")
    name = name.replace("\\", "/")  # as written on Windows
    places = [path.parent / name, path.parent / Path(name).name] if images is None else [images / Path(name).name]
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        file = places[0] if content.get("imageData") is None else _embedded(content["imageData"], path)
    groups: dict[tuple[Any, str], list[tuple[float, ...]]] = {}
    for number, shape in enumerate(shapes):
        place = f"{path}, shape {number}"
        if not isinstance(shape, Mapping) or not isinstance(shape.get("points"), list):
            raise UsageError(f"{place}: expected a shape with points; got {shortened(repr(shape))}")
        label, kind = checked_name(shape.get("label"), place), shape.get("shape_type") or "polygon"
        points = [numbers(point, 2, place, "a point") for point in shape["points"]]
        if kind == "point" and len(points) == 1:
            yield Example(file, label, place, point=(points[0][0], points[0][1]))
        elif kind == "rectangle" and len(points) == 2:
            (x0, y0), (x1, y1) = points
            yield Example(file, label, place, (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)))
        elif kind in ("polygon", "circle") and len(points) >= 2:
            ring = tuple(value for point in (_circle(*points) if kind == "circle" else points) for value in point)
            group = shape.get("group_id")
            groups.setdefault((place if group is None else str(group), label), []).append(ring)
        else:
            raise UsageError(
                f"{place}: a {kind} of {len(points)} points shows no region; draw a polygon or a rectangle"
            )
    for (group, label), rings in groups.items():
        place = group if group.startswith(str(path)) else f"{path}, group {group}"
        xs, ys = (tuple(value for ring in rings for value in ring[start::2]) for start in (0, 1))
        yield Example(file, label, place, (min(xs), min(ys), max(xs), max(ys)), tuple(rings))


def _embedded(data: Any, path: Path) -> Path:
    """The image that a file embeds, as a file of the cache.

    Raises:
        UsageError: where it is damaged, too large or no image.
    """
    if not isinstance(data, str):
        raise UsageError(f"{path}: imageData must be an image in base64; got {shortened(repr(data), 80)}")
    if len(data) > MOST:
        raise UsageError(
            f"{path}: imageData has {len(data):,} characters, and at most {MOST:,} are read; put the image beside "
            "the file"
        )
    try:
        content = base64.b64decode("".join(data.split()), validate=True)
        encoded_size(content)
    except (binascii.Error, ValueError, ImageError):
        raise UsageError(
            f"{path}: imageData holds no image, or is damaged, and the image that imagePath names is not there; "
            "put it beside the file"
        ) from None
    file = cache_dir() / "examples" / hashlib.sha256(content).hexdigest()[:16]
    if not file.is_file():
        with atomic_write(file) as temporary:
            temporary.write_bytes(content)
    return file


def _circle(centre: tuple[float, ...], edge: tuple[float, ...]) -> list[tuple[float, ...]]:
    """Corners of a circle round a point through another."""
    radius = math.dist(centre, edge)
    turns = [2 * math.pi * corner / CORNERS for corner in range(CORNERS)]
    return [(centre[0] + radius * math.cos(turn), centre[1] + radius * math.sin(turn)) for turn in turns]
