"""The results of a segmenting job: the files of each input, and what is joined of all of them.

For an input ``day1/cat.jpg`` there are, each written whole or not at all,

* ``day1/cat.overlay.png``: the image, its labels and a legend,
* ``day1/cat.labels.png``: the label map (8-bit palette up to 256 classes, 16-bit above),
* ``day1/cat.coco.json``: COCO-style annotations with run-length masks, written last: it marks the input as done,

and ``annotations.json`` with the records of all inputs of the folder.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from densevl.api.jobs.runs import file_state
from densevl.core.drawing.overlay import write_image
from densevl.core.files import InputFile, atomic_write, natural_order
from densevl.core.labelmap import LabelMap, coco_results
from densevl.core.vocabulary import Vocabulary

__all__ = ["Results"]

RECORD, LABELS, OVERLAY, JOINED = ".coco.json", ".labels.png", ".overlay.png", "annotations.json"


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

    def is_done(self, item: InputFile) -> bool:
        """True where every result of the input is there: of the same input, made with the same settings."""
        record = self._read(self._path(item.relative, RECORD))
        return (
            record is not None
            and record.get("source") == _source(item)
            and all(self._path(item.relative, suffix).is_file() for suffix in (LABELS, OVERLAY))
        )

    def write(self, item: InputFile, result: LabelMap) -> None:
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
            "image": {"file_name": str(item.path), "height": height, "width": width},
            "annotations": coco_results(result, image_id=item.relative),
        }
        self._write_json(f"{item.relative}{RECORD}", record)

    def records(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Names and records of all inputs that are done, in the natural order of their names."""
        found = [
            os.path.relpath(os.path.join(folder, file), self.out).removesuffix(RECORD)
            for folder, _, files in os.walk(self.out)
            for file in files
            if file.endswith(RECORD) and not file.startswith(".")
        ]
        for name in sorted((Path(name) for name in found), key=natural_order):
            record = self._read(self._path(name.as_posix(), RECORD))
            if record is not None:
                yield name.as_posix(), record

    def join(self) -> None:
        """Write what is joined of all records of the folder.

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

    def _path(self, name: str, suffix: str) -> Path:
        return self.out / f"{name}{suffix}"

    def _read(self, path: Path) -> dict[str, Any] | None:
        """The record in a file; None where there is none of these settings."""
        try:
            record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return record if record.get("settings") == self.settings else None
        except (OSError, ValueError, AttributeError):
            return None

    def _write_json(self, name: str, value: Any) -> None:
        with atomic_write(self.out / name) as temporary:
            temporary.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")


def _source(item: InputFile) -> list[Any]:
    """The input, and the state that it is in."""
    return [str(item.path.resolve()), *file_state(item.path)]
