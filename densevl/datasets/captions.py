"""Captions of pictures from files: a line each, a JSON list of texts, or the annotations of COCO."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from densevl.core.errors import UsageError
from densevl.core.files import parse_json

__all__ = ["read_captions"]


def read_captions(paths: Sequence[str | Path]) -> Iterator[str]:
    """The captions of files, in order.

    Args:
        paths: text files with a caption a line, or JSON files: a list of texts, or COCO's ``annotations``, each with a
            ``caption``.

    Raises:
        UsageError: where a file is missing, cannot be read or holds no captions.
    """
    for path in map(Path, paths):
        captions = _read(path)
        if not captions:
            raise UsageError(f"captions {path}: there are none; give a caption a line, or the captions JSON of COCO")
        yield from captions


def _read(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"captions {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"captions {path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    if path.suffix != ".json":
        return [line for line in map(str.strip, text.splitlines()) if line]
    try:
        return [caption for caption in _captions(parse_json(text)) if caption.strip()]
    except json.JSONDecodeError as error:
        raise UsageError(f"captions {path}: not JSON (line {error.lineno}: {error.msg})") from error


def _captions(content: Any) -> list[str]:
    rows = content.get("annotations", []) if isinstance(content, Mapping) else content
    if not isinstance(rows, list):
        return []
    texts = [row.get("caption") if isinstance(row, Mapping) else row for row in rows]
    return [text for text in texts if isinstance(text, str)]
