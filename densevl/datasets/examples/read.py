"""Reading examples of any layout: which one it is, is decided by what a file or a folder holds, not by its name."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from densevl.core.errors import UsageError, first_line, shortened
from densevl.core.files import natural_order, parse_json
from densevl.datasets.examples.coco import is_coco, read_coco
from densevl.datasets.examples.example import Example, checked
from densevl.datasets.examples.folders import read_folders
from densevl.datasets.examples.labelme import is_labelme, read_labelme
from densevl.datasets.examples.records import is_records, read_records
from densevl.datasets.examples.yolo import is_yolo, read_yolo

__all__ = ["ExamplesLike", "given_examples", "read_examples"]

ExamplesLike = str | Path | Sequence[Example] | Sequence[Mapping[str, Any]]
"""A file or a folder, examples, or records of them."""

LAYOUTS = ((is_coco, read_coco), (is_labelme, read_labelme), (is_yolo, read_yolo), (is_records, read_records))

WANTED = (
    "a file of COCO, a folder of LabelMe files, data.yaml of YOLO labels, a folder of images for each class, or a list "
    'of {"image": …, "name": …, "box": […]}'
)


def read_examples(path: str | Path, images: str | Path | None = None) -> tuple[Example, ...]:
    """The examples of a file or a folder, each region once.

    Args:
        path: the file or the folder.
        images: folder of the images; None looks where the layout keeps them.

    Raises:
        UsageError: where it is of no known layout, holds no example, contradicts itself, or an image is missing.
    """
    path, folder = Path(path).expanduser(), None if images is None else Path(images).expanduser()
    if not path.exists():
        raise UsageError(f"there are no examples at {path}; expected {WANTED}")
    return checked(_of_folder(path, folder) if path.is_dir() else _of_file(path, folder), str(path))


def given_examples(examples: ExamplesLike) -> tuple[Example, ...]:
    """Examples as a program gives them; paths of records are those of the program.

    Raises:
        UsageError: as :func:`read_examples`, or where they are something else.
    """
    if isinstance(examples, str | Path):
        return read_examples(examples)
    if isinstance(examples, Sequence) and all(isinstance(one, Example) for one in examples):
        return checked((one for one in examples if isinstance(one, Example)), "the list")
    if is_records(examples):
        records = [one for one in examples if isinstance(one, Mapping)]
        return checked(read_records(records, Path("the list"), None), "the list")
    raise UsageError(f"expected examples, or {WANTED}; got {shortened(repr(examples))}")


def _of_file(path: Path, images: Path | None) -> Iterator[Example]:
    content = _content(path)
    reader = next((read for fits, read in LAYOUTS if fits(content)), None)
    if reader is None:
        raise UsageError(f"{path} holds no examples in a known layout; expected {WANTED}")
    yield from reader(content, path, images)


def _of_folder(path: Path, images: Path | None) -> Iterator[Example]:
    described = sorted(file for suffix in ("*.yaml", "*.yml") for file in path.glob(suffix))
    chosen = next((file for file in described if is_yolo(_content(file))), None)
    if chosen is not None:
        yield from _of_file(chosen, images)
        return
    files = sorted(path.glob("*.json"), key=natural_order)
    for file in files:
        content = _content(file)
        if not is_labelme(content):
            raise UsageError(f"{file} is no file of LabelMe; give it by itself where it holds examples")
        yield from read_labelme(content, file, images)
    if not files:
        yield from read_folders(path)


def _content(path: Path) -> Any:
    """The value of a file of JSON, of JSON lines, or of YAML.

    Raises:
        UsageError: where it is none of them.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} holds no examples: it is no text; expected {WANTED}") from None
    if not text.lstrip().startswith(("[", "{")):
        return _yaml(text, path)
    try:
        return parse_json(text)
    except json.JSONDecodeError as error:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) < 2 or not lines[0].rstrip().endswith("}"):
            raise UsageError(f"{path} is not JSON: line {error.lineno}: {error.msg}") from None
    records = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            records += [parse_json(line)] if line.strip() else []
        except json.JSONDecodeError as error:
            raise UsageError(f"{path} is not JSON: line {number}: {error.msg}") from None
    return records


def _yaml(text: str, path: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} holds no examples: {first_line(error)}; expected {WANTED}") from None
