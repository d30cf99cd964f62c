"""Captions of images that somebody has written: one file for many images, or a text file beside each.

Layouts: COCO's captions (``{"images": …, "annotations": [{"image_id", "caption"}]}``); CSV with a column for the image
(``image``, ``file``, ``file_name``, ``filepath`` or ``path``) and one for the caption (``caption`` or ``text``); JSON
lines with the same names; or a JSON object of captions by image. An image may have several captions.
"""

import csv
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from densevl.core.errors import ImageError, UsageError
from densevl.core.files import parse_json
from densevl.core.inputs.remote import open_stored

__all__ = ["Captions", "caption_beside", "read_captions", "text_beside"]

IMAGE = ("image", "file", "file_name", "filename", "filepath", "path")
CAPTION = ("caption", "text")


@dataclass(frozen=True)
class Captions:
    """Captions by image.

    Attributes:
        by_name: captions of each image, by its path or name without suffix.
    """

    by_name: Mapping[str, tuple[str, ...]]

    def of(self, path: Path | str, relative: str) -> tuple[str, ...]:
        """The captions of an image; nothing where there are none.

        Args:
            path: the file, or the URL of an object.
            relative: its name below its folder, without suffix.
        """
        for name in (os.fspath(path), relative, PurePosixPath(path).name):
            found = self.by_name.get(_key(name))
            if found:
                return found
        return ()

    def unused(self, images: Iterable[tuple[Path | str, str]]) -> list[str]:
        """Images with captions that are none of these (path or URL, relative name)."""
        names = {
            _key(name) for path, relative in images for name in (os.fspath(path), relative, PurePosixPath(path).name)
        }
        return [name for name in self.by_name if name not in names]


def text_beside(url: str) -> str:
    """The URL of the text beside an image in a bucket."""
    return f"{os.path.splitext(url)[0]}.txt"


def caption_beside(path: Path | str) -> tuple[str, ...]:
    """The caption in the text file beside an image; nothing where there is none.

    Args:
        path: of the image, or its URL in a bucket.

    Raises:
        UsageError: where the file cannot be read or is not UTF-8.
    """
    place = text_beside(path) if isinstance(path, str) else path.with_suffix(".txt")
    if isinstance(place, Path) and not place.is_file():
        return ()
    try:
        return _cleaned([_text(place)])
    except UsageError as error:
        if isinstance(place, str) and isinstance(error.__cause__, FileNotFoundError):
            return ()
        raise


def read_captions(path: Path | str) -> Captions:
    """The captions of a file.

    Args:
        path: the file, or its URL in a bucket.

    Raises:
        UsageError: where it is missing, is of no layout that is known, or has no caption.
    """
    pairs = _rows(path) if _suffix(path) in (".csv", ".tsv", ".jsonl") else _of_json(path)
    found: dict[str, list[str]] = {}
    for name, caption in pairs:
        found.setdefault(_key(name), []).append(caption)
    cleaned = {name: captions for name, texts in found.items() if (captions := _cleaned(texts))}
    if not cleaned:
        raise UsageError(f"{path} has no captions")
    return Captions(cleaned)


def _key(name: str) -> str:
    path = PurePosixPath(name)
    return path.with_suffix("").as_posix() if path.name else name


def _cleaned(captions: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for caption in captions if (text := " ".join(caption.split()))))


def _suffix(path: Path | str) -> str:
    return PurePosixPath(path).suffix.lower()


def _text(path: Path | str) -> str:
    try:
        with open_stored(path) as file:
            return bytes(file.read()).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the captions {path} cannot be read: {error}") from None
    except ImageError as error:
        raise UsageError(f"the captions {error}") from error.__cause__


def _of_json(path: Path | str) -> Iterator[tuple[str, str]]:
    text = _text(path)
    try:
        content = parse_json(text)
    except ValueError as error:
        raise UsageError(f"the captions {path} are no JSON ({error}); known are JSON, JSON lines and CSV") from None
    try:
        if isinstance(content, Mapping) and "annotations" in content:
            names = {image["id"]: image["file_name"] for image in content["images"]}
            yield from ((names[item["image_id"]], str(item["caption"])) for item in content["annotations"])
        elif isinstance(content, Mapping):
            for name, captions in content.items():
                yield from ((name, str(text)) for text in ([captions] if isinstance(captions, str) else captions))
        else:
            yield from (_pair(path, row) for row in content)
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} holds no captions in a known layout ({type(error).__name__}: {error}); expected COCO's captions, "
            '[{"image": …, "caption": …}], or {"image": "caption"}'
        ) from None


def _rows(path: Path | str) -> Iterator[tuple[str, str]]:
    lines = _text(path).splitlines()
    if _suffix(path) == ".jsonl":
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    yield _pair(path, parse_json(line))
                except ValueError as error:
                    raise UsageError(f"{path}, line {number}: {error}") from None
    else:
        delimiter = "\t" if _suffix(path) == ".tsv" else ","
        yield from (_pair(path, row) for row in csv.DictReader(lines, delimiter=delimiter))


def _pair(path: Path | str, row: Any) -> tuple[str, str]:
    names, captions = ([key for key in keys if key in row] for keys in (IMAGE, CAPTION))
    if not names or not captions:
        raise UsageError(
            f"{path} has no column for the image ({', '.join(IMAGE)}) or for the caption ({', '.join(CAPTION)}); "
            f"it has {', '.join(map(str, row))}"
        )
    return str(row[names[0]]), str(row[captions[0]] or "")
