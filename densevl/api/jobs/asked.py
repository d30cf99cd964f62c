"""What is asked of images: expressions, the same of each, or those that a file of pairs names for each.

A file of pairs has a line for each image or for each expression; lines of one image belong together. As JSON lines::

    {"image": "photos/cat.jpg", "expressions": ["the left cat", "the bowl"], "boxes": [[10, 20, 110, 220], …]}
    {"image": "photos/dog.jpg", "expression": "the dog on the sofa"}

and as CSV with the columns ``image``, ``expression`` and, where there are boxes, ``boxes`` (a JSON list). Images are
relative to the folder of the file, or URLs, or images of an archive (``photos.tar/cat.jpg``). Boxes are the regions to
choose from, xyxy pixels.
"""

import csv
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from densevl.core.errors import UsageError
from densevl.core.files import below, distinct_names, parse_json
from densevl.core.inputs import Input, open_input
from densevl.core.inputs.urls import is_url
from densevl.tasks.grounding.expression import plain_words

__all__ = ["Asked", "ask_all", "read_pairs"]

Boxes = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Asked:
    """An image and the expressions that are asked of it.

    Attributes:
        input: the image; its name and place are those of what is asked.
        expressions: what to find.
        boxes: the regions to choose from, xyxy; None for those of all images, or what the model proposes.
        relative: the name of the results.
    """

    input: Input
    expressions: tuple[str, ...]
    boxes: Boxes | None = None
    relative: str = ""

    @property
    def name(self) -> str:
        """The image as the user named it."""
        return self.input.name

    @property
    def place(self) -> str:
        """Where the image is, which no other image shares."""
        return self.input.place

    def state(self) -> tuple[int, ...]:
        """Numbers that differ once the image has changed."""
        return self.input.state()

    def read(self) -> UInt8[np.ndarray, "H W 3"]:
        """The image."""
        return self.input.read()


def ask_all(inputs: Sequence[Input], expressions: Sequence[str]) -> list[Asked]:
    """The same expressions of each of several images."""
    return [Asked(item, tuple(expressions), None, item.relative) for item in inputs]


def read_pairs(path: str | os.PathLike[str], offline: bool = False) -> list[Asked]:
    """What a file of pairs asks, in the order in which it names the images first.

    Args:
        path: of the file, ``.jsonl`` or ``.csv``.
        offline: refuse URLs.

    Raises:
        UsageError: where the file cannot be read, or a line is none of these; it names the line.
    """
    path = Path(path)
    asked: dict[str, Asked] = {}
    for where, line in _lines(path):
        try:
            found = _asked(line, path.parent, offline)
        except UsageError as error:
            raise UsageError(f"{where} of {path}: {error}") from None
        before = asked.get(found.place)
        if before is not None:
            if None not in (before.boxes, found.boxes) and before.boxes != found.boxes:
                raise UsageError(
                    f"{where} of {path}: {found.name} has other boxes above; an image has one list of them"
                )
            boxes = found.boxes if before.boxes is None else before.boxes
            found = replace(before, expressions=(*before.expressions, *found.expressions), boxes=boxes)
        asked[found.place] = found
    if not asked:
        raise UsageError(f"{path} asks nothing; write a line for each image, with its expressions")
    names = distinct_names([_names(one.input, path.parent) for one in asked.values()])
    return [replace(one, relative=name) for one, name in zip(asked.values(), names, strict=True)]


def _lines(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Where each line stands, and what it says."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}; check the path") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no UTF-8 text; write pairs as .jsonl or .csv") from None
    if path.suffix.lower() == ".csv":
        rows = csv.DictReader(io.StringIO(text, newline=""))
        for row in rows:
            yield f"line {rows.line_num}", {name: value for name, value in row.items() if value}
    elif path.suffix.lower() in (".jsonl", ".ndjson"):
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                continue
            try:
                yield f"line {number}", parse_json(line)
            except ValueError as error:
                raise UsageError(f"line {number} of {path} is not JSON: {error}") from None
    else:
        raise UsageError(f"{path} is no file of pairs; they are written as .jsonl or .csv")


def _asked(line: Mapping[str, Any], folder: Path, offline: bool) -> Asked:
    """What a line asks, without the name of its results."""
    if not isinstance(line, Mapping) or not isinstance(line.get("image"), str):
        raise UsageError('name an image, as in {"image": "cat.jpg", "expressions": ["the left cat"]}')
    unknown = sorted(set(map(str, line)) - {"image", "expression", "expressions", "boxes"})
    if unknown:
        raise UsageError(f"{unknown[0]!r} is unknown; a line has image, expression or expressions, and boxes")
    texts = line.get("expressions", [line["expression"]] if "expression" in line else [])
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise UsageError(f"expressions are one text or a list of texts; got {texts!r}")
    for text in texts:
        plain_words(text)
    image = line["image"]
    item = open_input(image if is_url(image) else os.path.join(folder, os.path.expanduser(image)), offline)
    return Asked(item, tuple(texts), _boxes(line.get("boxes")))


def _boxes(given: Any) -> Boxes | None:
    try:
        boxes = parse_json(given) if isinstance(given, str) else given
        if boxes is None:
            return None
        found = tuple(tuple(float(value) for value in box) for box in boxes)
    except (ValueError, TypeError):
        raise UsageError(f"boxes are a list of [x0, y0, x1, y1]; got {given!r}") from None
    if not found or any(len(box) != 4 for box in found):
        raise UsageError(f"boxes are a list of [x0, y0, x1, y1]; got {given!r}")
    return found


def _names(item: Any, folder: Path) -> Iterator[str]:
    """Ever longer names of the results of an image."""
    if is_url(item.place):
        return iter(item.names())
    place, root = Path(item.place), Path(os.path.abspath(folder))
    return below(place, root if root in place.parents else place.parent)
