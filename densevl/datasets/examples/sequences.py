"""Examples of sequences: folders of frames or videos with the names of what happens in them.

Two layouts are read:

* a folder for each class, in which each folder of images, each archive and each video is a sequence; underscores of the
  names of folders are spaces;
* a list in JSON or JSONL of ``{"sequence": "clips/7.mp4", "name": "near miss"}``, paths beside the file.

Frames come in the natural order of their names, ``frame2`` before ``frame10``.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from densevl.core.errors import UsageError, shortened
from densevl.core.files import natural_order, parse_json
from densevl.core.inputs import Input, find_inputs
from densevl.core.inputs.archives import is_archive
from densevl.core.inputs.videos import is_video
from densevl.datasets.examples.example import checked_name

__all__ = ["SequenceExample", "SequencesLike", "frames_of", "given_sequences", "is_sequence", "read_sequences"]

WANTED = (
    "a folder for each class that holds folders of frames or videos, or a list of "
    '{"sequence": "clips/7.mp4", "name": "near miss"}'
)


@dataclass(frozen=True)
class SequenceExample:
    """A sequence and the name of what happens in it.

    Attributes:
        path: its video, archive or folder of frames.
        name: of the class.
    """

    path: Path
    name: str

    @property
    def image(self) -> Path:
        """Where it is, as an example of an image says it."""
        return self.path


SequencesLike = str | Path | Sequence[SequenceExample]
"""A file or a folder, or sequences with their names."""


def is_sequence(path: Path) -> bool:
    """True for a folder, and for what is named as a video or an archive."""
    return path.is_dir() or is_video(path) or is_archive(path)


def given_sequences(examples: SequencesLike) -> tuple[SequenceExample, ...]:
    """Sequences as a program gives them.

    Raises:
        UsageError: as :func:`read_sequences`, or where they are something else.
    """
    if isinstance(examples, str | Path):
        return read_sequences(examples)
    found = tuple(one for one in examples if isinstance(one, SequenceExample)) if isinstance(examples, Sequence) else ()
    if found and len(found) == len(examples):
        return found
    raise UsageError(f"expected sequences with names: {WANTED}; got {shortened(repr(examples))}")


def frames_of(path: str | Path, every: int = 1) -> list[Input]:
    """The frames of a sequence, in their order.

    Args:
        path: a video, an archive, a folder of images, or one image.
        every: step between the frames that are taken.

    Raises:
        UsageError: where there is no frame.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise UsageError(f"there is no sequence at {path}; name a folder of frames or a video")
    if path.is_dir() and not any(path.iterdir()):
        raise UsageError(f"the sequence {path} is an empty folder; put its frames there, or remove it")
    found = find_inputs([path], every=every)
    return found if is_video(path) else found[::every]


def read_sequences(path: str | Path) -> tuple[SequenceExample, ...]:
    """The sequences of a folder or a file, each once.

    Args:
        path: the folder or the file.

    Raises:
        UsageError: where it is of neither layout, holds no sequence, or names one twice or one that is not there.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise UsageError(f"there are no sequences at {path}; expected {WANTED}")
    names: dict[Path, str] = {}
    for example in _of_folder(path) if path.is_dir() else _of_file(path):
        if not example.path.exists():
            raise UsageError(f"{path}: the sequence {example.path} is missing; correct its path")
        other = names.setdefault(example.path, example.name)
        if other != example.name:
            raise UsageError(
                f"{path}: the sequence {example.path} is both {other!r} and {example.name!r}; name it once"
            )
    if not names:
        raise UsageError(f"there is no sequence in {path}; expected {WANTED}")
    return tuple(SequenceExample(place, name) for place, name in names.items())


def _of_folder(path: Path) -> Iterator[SequenceExample]:
    for folder in sorted(path.iterdir(), key=natural_order):
        if not folder.is_dir() or folder.name.startswith("."):
            continue
        inside = [one for one in sorted(folder.iterdir(), key=natural_order) if not one.name.startswith(".")]
        found = [one for one in inside if is_sequence(one)]
        if not found:
            loose = "its images are single frames" if inside else "it is empty"
            raise UsageError(
                f"the folder {folder} of a class has no sequence ({loose}); put the frames of each sequence into a "
                "folder of their own there"
            )
        name = checked_name(folder.name.replace("_", " "), str(folder))
        yield from (SequenceExample(one, name) for one in found)


def _of_file(path: Path) -> Iterator[SequenceExample]:
    for number, record in enumerate(_records(path), 1):
        place = f"{path}, record {number}"
        if not isinstance(record, dict) or not isinstance(record.get("sequence"), str) or not record["sequence"]:
            raise UsageError(f'{place}: expected {{"sequence": …, "name": …}}; got {shortened(repr(record))}')
        yield SequenceExample(path.parent / record["sequence"], checked_name(record.get("name"), place))


def _records(path: Path) -> Sequence[Any]:
    """The records of a file of JSON or JSONL.

    Raises:
        UsageError: where it is neither.
    """
    try:
        text = path.read_text(encoding="utf-8-sig").strip()
        if text.startswith("["):
            return list(parse_json(text))
        return [parse_json(line) for line in text.splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UsageError(f"{path} holds no sequences ({shortened(str(error))}); expected {WANTED}") from None
