"""Examples of files of LabelMe (https://labelme.io): one JSON for each image, with its shapes.

Polygons, rectangles, circles and points are read; lines show no region and are an error.
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from densevl.core.errors import UsageError, shortened
from densevl.datasets.examples.example import Example, checked_name, numbers

__all__ = ["is_labelme", "read_labelme"]

CORNERS = 32
"""Corners of the polygon that stands for a circle."""


def is_labelme(content: Any) -> bool:
    """True for the content of such a file."""
    return isinstance(content, Mapping) and "shapes" in content and "imagePath" in content


def read_labelme(content: Mapping[str, Any], path: Path, images: Path | None) -> Iterator[Example]:
    """The examples of a file; polygons of one group and one name are one region.

    Args:
        content: of the file.
        path: of the file.
        images: folder of the images; None takes the path in the file, or the image beside it.

    Raises:
        UsageError: where a shape is of another format, or of a kind that shows no region.
    """
    name, shapes = content["imagePath"], content["shapes"]
    if not isinstance(name, str) or not isinstance(shapes, list):
        raise UsageError(f"{path} is no file of LabelMe: expected a text imagePath and a list of shapes")
    name = name.replace("\\", "/")  # as written on Windows
    places = [path.parent / name, path.parent / Path(name).name] if images is None else [images / Path(name).name]
    file = next((place for place in places if place.is_file()), places[0])
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


def _circle(centre: tuple[float, ...], edge: tuple[float, ...]) -> list[tuple[float, ...]]:
    """Corners of a circle round a point through another."""
    radius = math.dist(centre, edge)
    turns = [2 * math.pi * corner / CORNERS for corner in range(CORNERS)]
    return [(centre[0] + radius * math.cos(turn), centre[1] + radius * math.sin(turn)) for turn in turns]
