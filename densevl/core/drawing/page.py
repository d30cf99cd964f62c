"""A page of pictures in a folder: ``index.html``, which any browser shows without a server or a network.

The page has a gallery, whose pictures lie under layers that can be switched, and tables that can be sorted. Beside it,
below ``page/``, lie the pictures in the size of a screen, their thumbnails, and the layers. All links are relative, so
that the folder can be moved, zipped and served. Layers are scripts: a browser lets a page read no pixels of images of a
folder, but run scripts of it. They load when their picture comes into view.

Names of files and classes are data everywhere: JSON in the page, quoted in links. None of them is read as markup.

Convention: runs go row by row, as pairs of a value and how many pixels have it.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any
from urllib.parse import quote

import cv2
import numpy as np
from jaxtyping import Bool, Integer, UInt8

from densevl.core.drawing.overlay import write_image
from densevl.core.files import atomic_write
from densevl.core.geometry import Size

__all__ = [
    "FOLDER",
    "INDEX",
    "Item",
    "Legend",
    "Page",
    "Picture",
    "Region",
    "Spool",
    "Table",
    "layer_link",
    "picture_of",
    "write_labels",
    "write_picture",
    "write_regions",
]

INDEX, FOLDER = "index.html", "page"
"""The page, and where everything beside it lies."""

SCREEN, THUMB = 1280, 400
"""Longer side of pictures and of thumbnails, in pixels; smaller ones stay as they are."""

_PIECE = 1 << 16
"""Bytes of a piece of a page."""

TEMPLATE = Path(__file__).parents[2] / "data" / "page"

Colour = tuple[int, int, int]
Cell = str | int | float | None


@dataclass(frozen=True)
class Legend:
    """A line of the legend, which switches what it names.

    Attributes:
        name: such as that of a class.
        colour: RGB.
        detail: a figure, such as its part of all areas.
    """

    name: str
    colour: Colour
    detail: str = ""


@dataclass(frozen=True)
class Region:
    """A box of a picture, perhaps with a mask, in pixels of the picture before it was made smaller.

    Attributes:
        group: index of the line of the legend that switches it.
        box: xyxy.
        text: on its plate.
        mask: its pixels; None for a box alone.
    """

    group: int
    box: tuple[float, float, float, float]
    text: str
    mask: Bool[np.ndarray, "H W"] | None = None


@dataclass(frozen=True)
class Picture:
    """The files of a picture, as links of the page.

    Attributes:
        picture: in the size of a screen.
        thumb: its thumbnail.
        size: (height, width) of the picture.
    """

    picture: str
    thumb: str
    size: Size


@dataclass(frozen=True)
class Item:
    """A picture of the gallery.

    Attributes:
        name: of the picture.
        picture: what :func:`write_picture` wrote.
        layers: link of each layer, by the layer's name, as :func:`write_labels` and :func:`write_regions` gave it.
        detail: a line below the name.
        values: what the gallery can be ordered by, in the order of :attr:`Page.values`.
    """

    name: str
    picture: Picture
    layers: dict[str, str]
    detail: str = ""
    values: tuple[float | None, ...] = ()

    def shown(self) -> dict[str, Any]:
        """The item as the page has it."""
        return {**vars(self), **vars(self.picture)}


class Spool:
    """Values of a page that are too many for memory: they wait in a file that vanishes when the block ends.

    Args:
        folder: of the file.
    """

    def __init__(self, folder: Path) -> None:
        self._file, self._count = TemporaryFile(dir=folder), 0  # noqa: SIM115  # closed where the block ends

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def __len__(self) -> int:
        """How many values there are."""
        return self._count

    def add(self, value: Any) -> None:
        """Add a value that JSON knows."""
        self._file.write(b"," * bool(self._count) + _in_script(value).encode())
        self._count += 1

    def pieces(self) -> Iterator[str]:
        """The values as JSON, piece by piece."""
        self._file.seek(0)
        while piece := self._file.read(_PIECE):
            yield piece.decode("ascii")


@dataclass(frozen=True)
class Table:
    """A table beside the gallery.

    Attributes:
        title: of its tab.
        columns: name and kind of each column. Kinds are ``text``, ``number``, ``percent``, ``share`` (a fraction with a
            bar), ``item`` (index of an item) and ``group`` (index of a line of the legend).
        rows: a value for each column; fractions from 0 to 1; None where there is none.
    """

    title: str
    columns: tuple[tuple[str, str], ...]
    rows: Sequence[Sequence[Cell]] | Spool


@dataclass(frozen=True)
class Page:
    """What a page shows.

    Attributes:
        title: heading of the page.
        note: a line below it.
        legend: title of the legend.
        groups: lines of the legend.
        items: pictures of the gallery; of a spool, what :meth:`Item.shown` gives of each.
        tables: tabs beside it.
        layers: names of the layers, the first one shown first.
        values: names of what the gallery can be ordered by.
        order: in which the lines of the legend stand; empty for their own.
        areas: whether layers cover their picture, so that it is drawn paler below them.
    """

    title: str
    note: str
    legend: str
    groups: Sequence[Legend]
    items: Sequence[Item] | Spool
    tables: Sequence[Table] = ()
    layers: tuple[str, ...] = ("labels",)
    values: tuple[str, ...] = ()
    order: tuple[int, ...] = ()
    areas: bool = True

    def write(self, out: Path) -> Path:
        """Write the page; its pictures and layers are there already.

        Args:
            out: the folder.

        Returns:
            The file of the page.

        Raises:
            OutputError: where it cannot be written.
        """
        path = out / INDEX
        with atomic_write(path) as temporary:
            self.write_file(temporary)
        return path

    def write_file(self, path: Path) -> None:
        """Write the page to any file of its folder, piece by piece."""
        data = {
            **vars(self),
            "groups": [vars(line) for line in self.groups],
            "items": self.items if isinstance(self.items, Spool) else [item.shown() for item in self.items],
            "tables": [_table(table) for table in self.tables],
            "opacity": 0.55 if self.areas else 1,
            "shown": "Image and labels" if self.areas else "Image and regions",
        }
        parts = {"title": escape(self.title), "style": _template("page.css"), "script": _template("page.js")}
        with path.open("w", encoding="utf-8") as file:
            for place, text in enumerate(re.split(r"\{\{(\w+)\}\}", _template("page.html"))):
                if place % 2 and text == "data":
                    file.writelines(_pieces(data))
                else:
                    file.write(parts[text] if place % 2 else text)


def _pieces(value: Any) -> Iterator[str]:
    """JSON that may stand in a script of a page, piece by piece where there are spools."""
    if isinstance(value, Spool):
        yield "["
        yield from value.pieces()
        yield "]"
    elif isinstance(value, dict):
        for index, (key, one) in enumerate(value.items()):
            yield f"{',' if index else '{'}{_in_script(key)}:"
            yield from _pieces(one)
        yield "}" if value else "{}"
    elif isinstance(value, list) and any(isinstance(one, dict) for one in value):
        for index, one in enumerate(value):
            yield "," if index else "["
            yield from _pieces(one)
        yield "]"
    else:
        yield _in_script(value)


def _table(table: Table) -> dict[str, Any]:
    columns = [{"name": name, "kind": kind} for name, kind in table.columns]
    return {"title": table.title, "columns": columns, "rows": table.rows}


def write_picture(out: Path, name: str, image: UInt8[np.ndarray, "H W 3"]) -> Picture:
    """Write an image for the page: in the size of a screen, and as a thumbnail.

    Args:
        out: the folder of the page.
        name: of the files below :data:`FOLDER`, such as ``day1/cat``; any characters.
        image: the image.

    Raises:
        OutputError: where it cannot be written.
    """
    large = _within(image, SCREEN)
    for kind, drawn in (("pictures", large), ("thumbs", _within(large, THUMB))):
        write_image(out / FOLDER / kind / f"{name}.jpg", drawn)
    return picture_of(name, (image.shape[0], image.shape[1]))


def picture_of(name: str, size: Size) -> Picture:
    """What :func:`write_picture` gave for an image of this size, written before."""
    return Picture(_link(f"pictures/{name}.jpg"), _link(f"thumbs/{name}.jpg"), _screen(size))


def write_labels(out: Path, name: str, labels: Integer[np.ndarray, "H W"], layer: str = "labels") -> str:
    """Write a layer of areas.

    Args:
        out: the folder of the page.
        name: of the picture.
        labels: line of the legend of each pixel of the image; -1 for none.
        layer: its name.

    Returns:
        The link of the layer.

    Raises:
        OutputError: where it cannot be written.
    """
    height, width = _screen((labels.shape[0], labels.shape[1]))
    shown = cv2.resize(labels.astype(np.int32), (width, height), interpolation=cv2.INTER_NEAREST)
    return _write_layer(out, f"{layer}/{name}", {"size": [height, width], "runs": _runs(shown + 1)})


def write_regions(out: Path, name: str, size: Size, regions: Sequence[Region]) -> str:
    """Write a layer of regions, the last one on top.

    Args:
        out: the folder of the page.
        name: of the picture.
        size: (height, width) of the image.
        regions: what it shows.

    Returns:
        The link of the layer.

    Raises:
        OutputError: where it cannot be written.
    """
    height, width = _screen(size)
    factor, shown = width / size[1], []
    for region in regions:
        one: dict[str, Any] = {"group": region.group, "text": region.text}
        one["box"] = [round(factor * float(value), 2) for value in region.box]
        if region.mask is not None:
            mask = cv2.resize(region.mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
            one["runs"] = _runs(mask)
        shown.append(one)
    return _write_layer(out, f"regions/{name}", {"size": [height, width], "regions": shown})


def layer_link(name: str, layer: str = "labels") -> str:
    """The link of a layer of a picture, written before."""
    return _link(f"{layer}/{name}.js")


def _write_layer(out: Path, name: str, layer: dict[str, Any]) -> str:
    link = _link(f"{name}.js")
    with atomic_write(out / FOLDER / f"{name}.js") as temporary:
        temporary.write_text(f"(self.layers ??= {{}})[{_in_script(link)}] = {_in_script(layer)};\n", encoding="ascii")
    return link


def _runs(values: Integer[np.ndarray, "H W"]) -> list[int]:
    flat = values.ravel().astype(np.int64)
    starts = np.flatnonzero(np.diff(flat, prepend=flat[0] - 1))
    lengths = np.diff(starts, append=flat.size)
    return np.stack([flat[starts], lengths], 1).ravel().tolist()


def _screen(size: Size) -> Size:
    """(height, width) of the picture of an image."""
    factor = min(1, SCREEN / max(size))
    return max(1, round(factor * size[0])), max(1, round(factor * size[1]))


def _within(image: UInt8[np.ndarray, "H W 3"], longest: int) -> UInt8[np.ndarray, "h w 3"]:
    factor = min(1, longest / max(image.shape[:2]))
    size = max(1, round(factor * image.shape[1])), max(1, round(factor * image.shape[0]))
    return image if factor == 1 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _link(name: str) -> str:
    """A relative link to a file below :data:`FOLDER`, whatever its name."""
    return quote(f"{FOLDER}/{name}")


def _in_script(value: Any) -> str:
    """JSON that may stand in a script of a page: ASCII, and nothing in it ends the script."""
    text = json.dumps(value, separators=(",", ":"), default=vars, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@cache
def _template(name: str) -> str:
    return (TEMPLATE / name).read_text(encoding="utf-8")
