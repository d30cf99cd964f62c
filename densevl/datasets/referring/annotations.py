"""Referring expressions as densevl keeps them: JSON lines, a head and then one line for each image of a split.

The head says what the file is and what was left out when it was made::

    {"format": "densevl referring expressions", "version": 1, "dataset": "refcoco", "splits_by": "unc",
     "source": "official", "skipped": {"duplicate refs": 2}}

and every other line is an image with all that is said of it::

    {"image_id": 581857, "file_name": "COCO_train2014_000000581857.jpg", "size": [427, 640], "split": "testB",
     "candidates": {"true": [[x0, y0, x1, y1], …], "detections": […]},
     "refs": [{"ref_id": 0, "ann_id": 1719310, "box": [x0, y0, x1, y1],
               "mask": {"size": [427, 640], "counts": "…"}, "sentences": ["the lady with the blue shirt", …],
               "kind": ""}]}

``size`` is (height, width) and null where the source does not say it; ``candidates`` holds the boxes to choose from
by where they come from, each protocol that the source allows; ``mask`` is a COCO run-length code of the image's size,
the union of the polygons, or null; ``kind`` groups scores and is empty for most. An expression counts, not a ref:
scores are over sentences.

Convention: boxes are xyxy pixels, half-open, as they are in densevl; the files of COCO hold corner, width and height.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from densevl.core.errors import UsageError, suggestion
from densevl.core.files import atomic_write, parse_json
from densevl.core.geometry import Box, Size
from densevl.core.masks import Rle

__all__ = [
    "FORMAT",
    "Reference",
    "ReferredImage",
    "ReferringData",
    "is_annotations",
    "read_annotations",
    "write_annotations",
]

FORMAT = "densevl referring expressions"
VERSION = 1


@dataclass(frozen=True)
class Reference:
    """One object of an image and the expressions that refer to it."""

    ref_id: int | str
    ann_id: int | str
    box: Box
    sentences: tuple[str, ...]
    mask: Rle | None = None
    kind: str = ""


@dataclass(frozen=True)
class ReferredImage:
    """An image of a split with the objects that are referred to."""

    image_id: int | str
    file_name: str
    split: str
    size: Size | None = None
    candidates: Mapping[str, tuple[Box, ...]] = field(default_factory=dict)
    refs: tuple[Reference, ...] = ()

    @property
    def expressions(self) -> int:
        """Number of sentences."""
        return sum(len(ref.sentences) for ref in self.refs)


@dataclass(frozen=True)
class ReferringData:
    """A data set of referring expressions.

    Attributes:
        dataset: such as ``refcoco``.
        splits_by: who split it.
        source: the format that it was read from.
        images: one an image and split.
        skipped: how many things were left out, by reason.
    """

    dataset: str
    splits_by: str
    source: str
    images: tuple[ReferredImage, ...]
    skipped: Mapping[str, int] = field(default_factory=dict)

    @property
    def splits(self) -> dict[str, int]:
        """Number of expressions of each split."""
        counts: Counter[str] = Counter()
        for image in self.images:
            counts[image.split] += image.expressions
        return dict(counts)

    def of_split(self, split: str) -> tuple[ReferredImage, ...]:
        """The images of a split.

        Raises:
            UsageError: where the file has none of it.
        """
        found = tuple(image for image in self.images if image.split == split)
        if not found:
            raise UsageError(f"there are no expressions of the split {split!r}; {suggestion(split, self.splits)}")
        return found

    def __str__(self) -> str:
        counts = ", ".join(f"{split} {count}" for split, count in self.splits.items())
        left = "".join(f"\nleft out: {count} {reason}" for reason, count in self.skipped.items())
        return f"{self.dataset} ({self.splits_by}), {len(self.images)} images; expressions: {counts}{left}"


def write_annotations(path: str | Path, data: ReferringData) -> None:
    """Write a data set as JSON lines."""
    head = {name: getattr(data, name) for name in ("dataset", "splits_by", "source")}
    lines = [{"format": FORMAT, "version": VERSION, **head, "skipped": dict(data.skipped)}, *map(asdict, data.images)]
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for line in lines:
            file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")


def is_annotations(path: Path) -> bool:
    """True where a file begins with the head of this format."""
    with path.open("rb") as file:
        return FORMAT.encode() in file.read(200)


def read_annotations(path: str | Path) -> ReferringData:
    """Read what :func:`write_annotations` wrote, or somebody wrote by hand.

    Raises:
        UsageError: where the file is missing, of another format or version, or a line cannot be used.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read as JSON lines: {error}") from None
    head = _parsed(lines[0], path, 1) if lines else {}
    if head.get("format") != FORMAT or head.get("version") != VERSION:
        raise UsageError(
            f"{path} does not begin with the head of {FORMAT!r}, version {VERSION}; make it with tools/convert_refer.py"
        )
    images = tuple(_image(_parsed(line, path, i), path, i) for i, line in enumerate(lines[1:], 2) if line.strip())
    if not images:
        raise UsageError(f"{path} has no image")
    dataset, splits_by, source = (str(head.get(name, "unknown")) for name in ("dataset", "splits_by", "source"))
    return ReferringData(dataset, splits_by, source, images, head.get("skipped", {}))


def _parsed(line: str, path: Path, number: int) -> dict[str, Any]:
    try:
        value = parse_json(line)
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}, line {number}: no JSON ({error})") from None
    if not isinstance(value, dict):
        raise UsageError(f"{path}, line {number}: expected an object; got {type(value).__name__}")
    return value


def _image(line: Mapping[str, Any], path: Path, number: int) -> ReferredImage:
    try:
        return ReferredImage(
            image_id=line["image_id"],
            file_name=str(line["file_name"]),
            split=str(line["split"]),
            size=None if line.get("size") is None else (int(line["size"][0]), int(line["size"][1])),
            candidates={name: tuple(map(_box, boxes)) for name, boxes in line.get("candidates", {}).items()},
            refs=tuple(
                Reference(
                    ref_id=ref["ref_id"],
                    ann_id=ref["ann_id"],
                    box=_box(ref["box"]),
                    sentences=tuple(map(str, ref["sentences"])),
                    mask=ref.get("mask"),
                    kind=str(ref.get("kind", "")),
                )
                for ref in line["refs"]
            ),
        )
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise UsageError(f"{path}, line {number}: {type(error).__name__}: {error}; see the format's text") from None


def _box(values: Any) -> Box:
    x0, y0, x1, y1 = map(float, values)
    if not (x0 < x1 and y0 < y1):
        raise ValueError(f"a box is x0, y0, x1, y1 in pixels; got {values}")
    return x0, y0, x1, y1
