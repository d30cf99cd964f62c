"""Two images and two captions of the same words, of which one is true of each: files in the form of Winoground.

Source: Thrush et al., Winoground: Probing Vision and Language Models for Visio-Linguistic Compositionality, CVPR 2022,
https://arxiv.org/abs/2204.03162. A file is a list of records in JSON, or a line each (JSONL), such as
``{"image_0": "ex_0_img_0", "image_1": "ex_0_img_1", "caption_0": "…", "caption_1": "…", "tag": "Noun"}``. An image may
be named without its suffix, as there.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from densevl.core.errors import UsageError, shortened
from densevl.core.files import SUFFIXES, parse_json

__all__ = ["MatchingRecord", "read_matching"]

KEYS = ("image_0", "image_1", "caption_0", "caption_1")
WANTED = 'records {"image_0": …, "image_1": …, "caption_0": …, "caption_1": …}, as Winoground has them'
KIND = "all"
"""Kind of a record that names none."""


@dataclass(frozen=True)
class MatchingRecord:
    """Two images and their captions.

    Attributes:
        images: files.
        captions: the one that is true of each.
        kind: such as the ``tag`` of Winoground.
    """

    images: tuple[Path, Path]
    captions: tuple[str, str]
    kind: str = KIND


def read_matching(path: Path, images: Path | None = None) -> tuple[MatchingRecord, ...]:
    """The records of a file.

    Args:
        path: of the file.
        images: folder of the images; None looks beside the file, and in ``images`` there.

    Raises:
        UsageError: where it is of another form, holds none, or an image is missing.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        content = (
            parse_json(text)
            if text.lstrip().startswith("[")
            else [*map(parse_json, filter(str.strip, text.splitlines()))]
        )
    except (OSError, UnicodeDecodeError, json.JSONDecodeError):
        content = None
    if not isinstance(content, list) or not content:
        raise UsageError(f"{path} holds no pairs to match; expected {WANTED}")
    folders = [images] if images is not None else [path.parent, path.parent / "images"]
    return tuple(_record(one, f"{path}, record {number}", folders) for number, one in enumerate(content, 1))


def _record(one: Any, place: str, folders: list[Path]) -> MatchingRecord:
    if not isinstance(one, Mapping):
        raise UsageError(f"{place}: expected {WANTED}; got {shortened(repr(one))}")
    for key in KEYS:
        if not isinstance(one.get(key), str) or not one[key].strip():
            raise UsageError(f"{place}: {key} is a text; got {shortened(repr(one.get(key)))}; expected {WANTED}")
    first, second = (_found(one[key], place, folders) for key in KEYS[:2])
    kind = one.get("tag") or one.get("kind") or KIND
    return MatchingRecord((first, second), (one["caption_0"].strip(), one["caption_1"].strip()), str(kind))


def _found(name: str, place: str, folders: list[Path]) -> Path:
    """The file of an image, whose suffix may be left out."""
    for folder in folders:
        for suffix in ("", *SUFFIXES):
            if (found := folder / f"{name}{suffix}").is_file():
                return found
    raise UsageError(
        f"{place}: there is no image {name} in {', '.join(map(str, folders))}; name its folder with --images"
    )
