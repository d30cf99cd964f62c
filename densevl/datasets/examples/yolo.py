"""Examples in the layout of ultralytics (https://docs.ultralytics.com/datasets): ``data.yaml``, images and text files.

A line of a text file is a class and, as fractions of width and height, the centre and the sides of a box, or the
corners of a polygon. The file of ``images/a/b.jpg`` is ``labels/a/b.txt``.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from densevl.core.errors import UsageError, shortened
from densevl.core.files import expand_inputs
from densevl.datasets.examples.example import Example, checked_name, numbers

__all__ = ["is_yolo", "read_yolo"]

SPLITS = ("train", "val", "test")


def is_yolo(content: Any) -> bool:
    """True for the content of a ``data.yaml``."""
    return isinstance(content, Mapping) and "names" in content and any(split in content for split in SPLITS)


def read_yolo(content: Mapping[str, Any], path: Path, images: Path | None) -> Iterator[Example]:
    """The examples of the first split that is named: train, val or test.

    Args:
        content: of ``data.yaml``.
        path: of ``data.yaml``.
        images: folder of the images; None takes that of the split.

    Raises:
        UsageError: where names or lines are of another format, or there are no images.
    """
    names = _names(content["names"], path)
    split = next(content[split] for split in SPLITS if content.get(split))
    folders = split if isinstance(split, list) else [split]
    root = path.parent / Path(str(content.get("path") or "."))
    root = root if root.is_dir() else path.parent  # a path on the machine that made the file
    for folder in folders if images is None else [str(images)]:
        for image in expand_inputs([root / str(folder)]):
            yield from _of_image(image.path, names)


def _names(names: Any, path: Path) -> dict[int, str]:
    listed = dict(enumerate(names)) if isinstance(names, list) else names
    try:
        return {int(number): checked_name(name, str(path)) for number, name in listed.items()}
    except (AttributeError, TypeError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{path}: names are a list, or an object of numbers and names; got {names!r}") from None


def _of_image(image: Path, names: Mapping[int, str]) -> Iterator[Example]:
    before, found, behind = image.as_posix().rpartition("/images/")
    file = Path(f"{before}/labels/{behind}" if found else image).with_suffix(".txt")
    if not file.is_file():  # an image of nothing
        return
    for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        place, words = f"{file}, line {number}", line.split()
        if not words:
            continue
        values = numbers(words[1:], None, place, "a box or a polygon")
        if not words[0].isdecimal() or int(words[0]) not in names:
            raise UsageError(f"{place}: class {shortened(words[0])} is not among the names of data.yaml")
        name = names[int(words[0])]
        if len(values) == 4:
            x, y, width, height = values
            box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
            yield Example(image, name, place, box, relative=True)
        elif len(values) >= 6 and len(values) % 2 == 0:
            xs, ys = values[::2], values[1::2]
            yield Example(image, name, place, (min(xs), min(ys), max(xs), max(ys)), (values,), relative=True)
        else:
            raise UsageError(f"{place}: expected four numbers of a box or the corners of a polygon; got {len(values)}")
