"""The results of a segmenting job: the files of each input, and what is joined of all of them.

For an input ``day1/cat.jpg`` there are, each written whole or not at all,

* ``day1/cat.overlay.png``: the image, its labels and a legend,
* ``day1/cat.labels.png``: the label map (8-bit palette up to 256 classes, 16-bit above),
* ``day1/cat.coco.json``: COCO-style annotations with run-length masks, written last: it marks the input as done,

and ``annotations.json`` with the records of all inputs of the folder.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from densevl.api.jobs.manifest import MANIFEST, described
from densevl.core.drawing.overlay import write_image
from densevl.core.errors import OutputError, UsageError
from densevl.core.failures import FailureList
from densevl.core.files import atomic_write, below, natural_order, parse_json
from densevl.core.inputs import Input
from densevl.core.labelmap import LabelMap, coco_results
from densevl.core.vocabulary import Vocabulary

__all__ = ["VIDEO", "Results", "is_there"]

RECORD, LABELS, OVERLAY, JOINED = ".coco.json", ".labels.png", ".overlay.png", "annotations.json"
VIDEO = ".overlay.mp4"
SUFFIXES = (OVERLAY, LABELS, RECORD)
"""Ends of the files of an input, in the order in which they are written."""


class Results:
    """The results in a folder that were made with the same settings.

    Args:
        out: the folder; made where it is missing.
        model: its name.
        vocabulary: the classes.
        settings: fingerprint of everything that decides a result; records of other settings do not count.
    """

    def __init__(self, out: Path, model: str, vocabulary: Vocabulary, settings: str) -> None:
        self.out, self.model, self.vocabulary, self.settings = out, model, vocabulary, settings

    @classmethod
    def of(cls, out: Path, manifest: dict[str, Any]) -> "Results":
        """The results of a folder by its manifest.

        Raises:
            UsageError: where the manifest is not that of segmenting.
        """
        try:
            words = dict(manifest["vocabulary"])
            words["classes"] = tuple(map(tuple, words["classes"]))
            words["palette"] = tuple(map(tuple, words["palette"]))
            return cls(out, manifest["model"], Vocabulary(**words), manifest["fingerprint"])
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(f"the manifest {out / MANIFEST} is not one of `densevl segment` ({error})") from None

    def manifest(self, **settings: Any) -> dict[str, Any]:
        """The manifest of the folder.

        Args:
            settings: what else decides the results.
        """
        saved = [suffix.removeprefix(".") for suffix in SUFFIXES]
        words = asdict(self.vocabulary)
        return described("segment", self.settings, model=self.model, vocabulary=words, **settings, saved=saved)

    def named(self, inputs: Sequence[Input]) -> list[Any]:
        """The inputs under the names that they have in the folder.

        An image that has results under another name keeps that name; one whose name belongs to another image gets a
        longer one.

        Args:
            inputs: dataclasses, with names that differ.
        """
        taken = {item.relative for item in inputs}
        other = [(name, self.record(name)) for name in self._names() if name not in taken]
        known = {_place(record): name for name, record in other if record is not None}
        named: list[Any] = []
        for item in inputs:
            longer = (name for name in below(Path(item.place), Path(item.place).parent) if name not in taken)
            if item.place in known and not self.is_done(item):
                item = replace(item, relative=known[item.place])  # type: ignore[type-var]
            while self.is_of_another(item):
                item = replace(item, relative=next(longer, f"{item.relative}-another"))  # type: ignore[type-var]
                taken.add(item.relative)
            named.append(item)
        return named

    def is_of_another(self, item: Input) -> bool:
        """True where results of this name are there, and those of another image that is still where it was."""
        record = self.record(item.relative)
        place = item.place if record is None else _place(record)
        return place != item.place and is_there(place)

    def is_done(self, item: Input) -> bool:
        """True where every result of the input is there: of the same input, made with the same settings."""
        record = self.record(item.relative)
        return (
            record is not None
            and _place(record) == item.place
            and all(self._path(item.relative, suffix).is_file() for suffix in SUFFIXES)
            and record["source"] == _source(item)
        )

    def write(self, item: Input, result: LabelMap) -> None:
        """Write the results of an input.

        Raises:
            OutputError: where one cannot be written.
        """
        write_image(self._path(item.relative, OVERLAY), result.overlay())
        result.save(self._path(item.relative, LABELS))
        height, width = result.labels.shape
        record = {
            "settings": self.settings,
            "source": _source(item),
            "model": self.model,
            "image": {"file_name": item.name, "height": height, "width": width},
            "annotations": coco_results(result, image_id=item.relative),
        }
        self._write_json(f"{item.relative}{RECORD}", record)

    def records(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Names and records of all inputs that are done, in the natural order of their names.

        Folders below that hold jobs of their own are passed over, and so are inputs that failed since.
        """
        failed = {failure.name for failure in FailureList(self.out).read()}
        for name in sorted(map(Path, self._names()), key=natural_order):
            record = self.record(name.as_posix())
            if record is not None and _place(record) not in failed:
                yield name.as_posix(), record

    def join(self) -> None:
        """Write what is joined of all records of the folder; the caller holds its lock.

        Raises:
            OutputError: where it cannot be written.
        """
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for _, record in self.records():
            images.append({"id": len(images) + 1, **record["image"]})
            for annotation in record["annotations"]:
                annotations.append({**annotation, "id": len(annotations) + 1, "image_id": len(images)})
        categories = [{"id": i, "name": name} for i, name in enumerate(self.vocabulary.names)]
        self._write_json(JOINED, {"images": images, "annotations": annotations, "categories": categories})

    def record(self, name: str) -> dict[str, Any] | None:
        """The record of an input by its name; None where there is none of these settings."""
        return self._read(self._path(name, RECORD))

    def labels(self, name: str) -> Path:
        """The file of the label map of an input."""
        return self._path(name, LABELS)

    def files(self, name: str) -> list[Path]:
        """The files of an input, the record last."""
        return [path for path in (self._path(name, suffix) for suffix in SUFFIXES) if path.is_file()]

    def clear(self) -> None:
        """Remove all results, and nothing else of the folder.

        Raises:
            OutputError: where a file cannot be removed.
        """
        videos = {self.out / f"{name.rpartition('/')[0]}{VIDEO}" for name, _ in self.records() if "/" in name}
        listed = [self.out / JOINED, FailureList(self.out).path, *self.out.glob("shard-*-of-*.json"), *videos]
        names = [name for name in self._names() if self.record(name) is not None]
        try:
            for path in [*listed, *(path for name in names for path in reversed(self.files(name)))]:
                path.unlink(missing_ok=True)
            for folder in {parent for name in names for parent in (self.out / name).parents}:
                with suppress(OSError):  # one that is not empty, or a folder above of another's
                    if self.out in folder.parents:
                        folder.rmdir()
        except OSError as error:
            raise OutputError(f"cannot remove {error.filename}: {error.strerror}; name another folder") from error

    def _names(self) -> list[str]:
        names = []
        for folder, inner, files in os.walk(self.out):
            inner[:] = [name for name in inner if not os.path.exists(os.path.join(folder, name, MANIFEST))]
            found = [file for file in files if file.endswith(RECORD) and not file.startswith(".")]
            names += [Path(os.path.relpath(os.path.join(folder, file), self.out)).as_posix() for file in found]
        return [name.removesuffix(RECORD) for name in names]

    def _path(self, name: str, suffix: str) -> Path:
        return self.out / f"{name}{suffix}"

    def _read(self, path: Path) -> dict[str, Any] | None:
        """The record in a file; None where there is none of these settings."""
        try:
            record: dict[str, Any] = parse_json(path.read_text(encoding="utf-8"))
            return record if record["settings"] == self.settings and record["source"] else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _write_json(self, name: str, value: Any) -> None:
        with atomic_write(self.out / name) as temporary:
            temporary.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def _source(item: Input) -> list[Any]:
    """The input, and the state that it is in."""
    return [item.place, *item.state()]


def _place(record: dict[str, Any]) -> str:
    return str(record["source"][0])


def is_there(place: str) -> bool:
    """True where an image still is where it was; what is not in a file counts as there."""
    path = Path(place)
    return not path.is_absolute() or path.exists() or any(folder.is_file() for folder in path.parents)
