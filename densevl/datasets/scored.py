"""Scored examples: images or regions with a text and a number that says how much of it they have.

A file is JSON, a list of ``{"image": …, "text": "larger", "score": 3.5, "box" | "mask"?: …}``, or a line each (JSONL).
A box is xyxy in pixels; a mask is polygons or a run-length code as COCO writes them, or the file of an image. Without
either the whole image is the example. Paths are looked for beside the file. One region may stand under several texts.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from densevl.core.errors import UsageError, shortened, suggestion
from densevl.core.files import read_json
from densevl.datasets.examples.example import Example, numbers

__all__ = ["Scored", "ScoredLike", "given_scored", "read_scored"]

KEYS = ("image", "text", "score", "box", "mask")

WANTED = 'a JSON list of {"image": …, "text": "larger", "score": 3.5, "box" | "mask"?: …}'


@dataclass(frozen=True)
class Scored:
    """An example of an order.

    Attributes:
        example: the image or region; its name is the text.
        score: the more, the more of the text it has.
    """

    example: Example
    score: float

    @property
    def text(self) -> str:
        """What is scored, such as ``"larger"``."""
        return self.example.name


ScoredLike = str | Path | Sequence[Scored] | Sequence[Mapping[str, Any]]
"""A file, examples, or records of them."""


def read_scored(path: str | Path, images: str | Path | None = None) -> tuple[Scored, ...]:
    """The examples of a file.

    Args:
        path: the file.
        images: folder of the images; None looks beside the file.

    Raises:
        UsageError: where it is of another format, a score is missing or no number, or an image is missing.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise UsageError(f"there are no scored examples at {path}; expected {WANTED}")
    content = read_json(path)
    return _checked(content, str(path), path.parent if images is None else Path(images).expanduser())


def given_scored(examples: ScoredLike) -> tuple[Scored, ...]:
    """Examples as a program gives them; paths of records are those of the program.

    Raises:
        UsageError: as :func:`read_scored`, or where they are something else.
    """
    if isinstance(examples, str | Path):
        return read_scored(examples)
    if isinstance(examples, Sequence) and examples and all(isinstance(one, Scored) for one in examples):
        return tuple(one for one in examples if isinstance(one, Scored))
    return _checked(examples, "the list", Path())


def _checked(content: Any, source: str, folder: Path) -> tuple[Scored, ...]:
    if not isinstance(content, list | tuple) or not all(isinstance(one, Mapping) for one in content):
        raise UsageError(f"{source} holds no scored examples: expected {WANTED}; got {shortened(repr(content), 60)}")
    if not content:
        raise UsageError(f"there is no scored example in {source}; expected {WANTED}")
    found = tuple(_scored(record, f"{source}, record {number}", folder) for number, record in enumerate(content, 1))
    images = dict.fromkeys(one.example.image for one in found)
    missing = [image for image in images if not image.is_file()]
    if missing:
        raise UsageError(
            f"{len(missing)} of {len(images)} images of {source} are missing, the first one {missing[0]}; name their "
            "folder with --images"
        )
    return found


def _scored(record: Mapping[str, Any], place: str, folder: Path) -> Scored:
    unknown = next((key for key in record if key not in KEYS), None)
    if unknown is not None:
        raise UsageError(f"{place}: {unknown!r} is unknown; {suggestion(str(unknown), KEYS)}")
    for key in ("image", "text"):
        if not isinstance(record.get(key), str) or not record[key].strip():
            raise UsageError(f"{place}: {key} is a text; got {shortened(repr(record.get(key)))}")
    if record.get("score") is None:
        raise UsageError(f"{place}: there is no score; a ranking is learnt from numbers: expected {WANTED}")
    score = record["score"]
    if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
        raise UsageError(f"{place}: score is a finite number; got {shortened(repr(score))}")
    box, mask = None, record.get("mask") or None
    if record.get("box") is not None:
        x0, y0, x1, y1 = numbers(record["box"], 4, place, "box")
        box = (x0, y0, x1, y1)
    if isinstance(mask, str):
        mask = folder / mask
    return Scored(Example(folder / record["image"], " ".join(record["text"].split()), place, box, mask), float(score))
