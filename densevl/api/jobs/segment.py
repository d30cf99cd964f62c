"""Segmenting many files: outputs that mirror the inputs, resumed where a run stopped, never stopped by a bad file.

For an input ``day1/cat.jpg`` a job writes, each file whole or not at all,

* ``day1/cat.overlay.png``: the image, its labels and a legend,
* ``day1/cat.labels.png``: the label map (8-bit palette up to 256 classes, 16-bit above),
* ``day1/cat.coco.json``: COCO-style annotations with run-length masks, written last: it marks the input as done,

and at the end ``annotations.json`` with the records of all inputs.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from densevl.api.jobs.runs import Run, file_state, fingerprint
from densevl.api.model import Classes, Model
from densevl.core.drawing.overlay import write_image
from densevl.core.features import TextEmbeddings
from densevl.core.files import InputFile, atomic_write, parse_json
from densevl.core.labelmap import LabelMap, coco_results

__all__ = ["SegmentJob"]

RECORD, LABELS, OVERLAY = ".coco.json", ".labels.png", ".overlay.png"


class SegmentJob:
    """Segments files into a folder.

    Args:
        model: the loaded model.
        classes: what to look for.
        out: folder of the results; made where it is missing.
        background: background mode; None for the model's own.
        batch: images that are encoded together.
        overwrite: segment again what is done already.

    Raises:
        OutputError: where ``out`` cannot be written.
        UsageError: where the classes or the background cannot be used.
    """

    def __init__(
        self,
        model: Model,
        classes: Classes,
        out: Path,
        background: Any = None,
        batch: int = 1,
        overwrite: bool = False,
    ) -> None:
        self.model, self.out, self.batch, self.overwrite = model, out, batch, overwrite
        self.texts: TextEmbeddings = model.embed_classes(classes, background)
        words, texts = self.texts.vocabulary, self.texts
        self.fingerprint = fingerprint(
            model.segmentor.protocol, words.classes, words.background, texts.threshold, texts.delta
        )
        self._write_json("vocabulary.json", asdict(words))

    def run(self, inputs: Sequence[InputFile]) -> Run[InputFile, dict[str, float]]:
        """Segment what is not done yet; the fraction of the area by class is said of each input.

        Raises:
            OutputError: where a result cannot be written: the disk would fail for the other inputs as well.
        """
        run = Run[InputFile, dict[str, float]](
            self.out, inputs, lambda item: not self.overwrite and self._record(item) is not None
        )
        for item, result in run.results(self._segment, self.batch, "segmenting"):
            self._write(item, result)
            run.done.append((item, result.areas()))
        self._join(inputs)
        return run

    def _segment(self, inputs: Sequence[InputFile], images: Sequence[np.ndarray]) -> list[LabelMap]:
        return self.model.segment(list(images), self.texts)

    def _path(self, item: InputFile, suffix: str) -> Path:
        return self.out / f"{item.relative}{suffix}"

    def _identity(self, item: InputFile) -> list[Any]:
        """Everything that the results of an input depend on."""
        return [self.fingerprint, str(item.path.resolve()), *file_state(item.path)]

    def _record(self, item: InputFile) -> dict[str, Any] | None:
        """The record of an input that is done with these settings, None where there is still something to do."""
        try:
            record: dict[str, Any] = parse_json(self._path(item, RECORD).read_text(encoding="utf-8"))
            same = [record.get("settings"), *record.get("source", ())] == self._identity(item)
        except (OSError, ValueError):
            return None
        return record if same and all(self._path(item, suffix).is_file() for suffix in (LABELS, OVERLAY)) else None

    def _write(self, item: InputFile, result: LabelMap) -> None:
        write_image(self._path(item, OVERLAY), result.overlay())
        result.save(self._path(item, LABELS))
        settings, *source = self._identity(item)
        height, width = result.labels.shape
        record = {
            "settings": settings,
            "source": source,
            "model": self.model.name,
            "image": {"file_name": str(item.path), "height": height, "width": width},
            "annotations": coco_results(result, image_id=item.relative),
        }
        self._write_json(f"{item.relative}{RECORD}", record)

    def _join(self, inputs: Sequence[InputFile]) -> None:
        """One COCO-style file over all inputs that are done."""
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for item in inputs:
            record = self._record(item)
            if record is None:
                continue
            images.append({"id": len(images) + 1, **record["image"]})
            for annotation in record["annotations"]:
                annotations.append({**annotation, "id": len(annotations) + 1, "image_id": len(images)})
        categories = [{"id": i, "name": name} for i, name in enumerate(self.texts.vocabulary.names)]
        joined = {"images": images, "annotations": annotations, "categories": categories}
        self._write_json("annotations.json", joined)

    def _write_json(self, name: str, value: Any) -> None:
        with atomic_write(self.out / name) as temporary:
            temporary.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
