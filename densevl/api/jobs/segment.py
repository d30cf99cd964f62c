"""Segmenting many files: outputs that mirror the inputs, resumed where a run stopped, never stopped by a bad file.

For an input ``day1/cat.jpg`` a job writes, each file whole or not at all,

* ``day1/cat.overlay.png``: the picture, its labels and a legend,
* ``day1/cat.labels.png``: the label map (8-bit palette up to 256 classes, 16-bit above),
* ``day1/cat.coco.json``: COCO-style annotations with run-length masks, written last: it marks the input as done,

and at the end ``annotations.json`` with the records of all inputs, and ``failures.jsonl`` with one line for each input
that failed.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from densevl.api.jobs.runs import FAILURES, Batch, failure_reason, file_state, note_failure, read_batches
from densevl.api.model import Classes, Model
from densevl.core.drawing.overlay import write_image
from densevl.core.errors import DensevlError
from densevl.core.features import TextEmbeddings
from densevl.core.files import InputFile, atomic_write
from densevl.core.labelmap import LabelMap, coco_results

__all__ = ["Job", "Report"]

RECORD, LABELS, OVERLAY = ".coco.json", ".labels.png", ".overlay.png"


@dataclass
class Report:
    """What became of the inputs of a job.

    Attributes:
        done: inputs segmented now, each with its label map's share of area by class.
        skipped: inputs whose results were there already.
        failed: inputs that could not be segmented, with the reason.
    """

    done: list[tuple[InputFile, dict[str, float]]] = field(default_factory=list)
    skipped: list[InputFile] = field(default_factory=list)
    failed: list[tuple[InputFile, str]] = field(default_factory=list)


class Job:
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
        vocabulary = self.texts.vocabulary
        words = [vocabulary.classes, vocabulary.background, self.texts.threshold, self.texts.delta]
        settings = [model.segmentor.protocol, *words]
        self.fingerprint = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]
        self._write_json("vocabulary.json", asdict(vocabulary))

    def run(self, inputs: Sequence[InputFile]) -> Report:
        """Segment what is not done yet.

        Raises:
            OutputError: where a result cannot be written: the disk would fail for the other inputs as well.
        """
        report = Report()
        (self.out / FAILURES).unlink(missing_ok=True)
        todo = []
        for item in inputs:
            if not self.overwrite and self._record(item) is not None:
                report.skipped.append(item)
            else:
                todo.append(item)
        with tqdm(total=len(todo), desc="segmenting", unit="image", delay=1, disable=None) as progress:
            for batch in read_batches(todo, self.batch):
                for item, result in self._segment(batch):
                    if isinstance(result, LabelMap):
                        report.done.append((item, result.areas()))
                        self._write(item, result)
                    else:
                        report.failed.append((item, result))
                        note_failure(self.out, item.path, result)
                    progress.update()
        self._join(inputs)
        return report

    def _path(self, item: InputFile, suffix: str) -> Path:
        return self.out / f"{item.relative}{suffix}"

    def _record(self, item: InputFile) -> dict[str, Any] | None:
        """The record of an input that is done with these settings, None where there is still something to do."""
        try:
            record: dict[str, Any] = json.loads(self._path(item, RECORD).read_text(encoding="utf-8"))
            expected = (self.fingerprint, [str(item.path.resolve()), *file_state(item.path)])
        except (OSError, ValueError):
            return None
        pictures = (self._path(item, suffix).is_file() for suffix in (LABELS, OVERLAY))
        done = (record.get("settings"), record.get("source")) == expected and all(pictures)
        return record if done else None

    def _segment(self, batch: Batch) -> Iterator[tuple[InputFile, LabelMap | str]]:
        images = [image for _, image in batch if isinstance(image, np.ndarray)]
        try:
            maps = iter(self.model.segment(images, self.texts))
        except (DensevlError, MemoryError, RuntimeError) as error:
            if len(images) == 1:
                yield from ((item, image if isinstance(image, str) else failure_reason(error)) for item, image in batch)
            else:
                for one in batch:
                    yield from self._segment([one])
            return
        for item, image in batch:
            yield item, image if isinstance(image, str) else next(maps)

    def _write(self, item: InputFile, result: LabelMap) -> None:
        write_image(self._path(item, OVERLAY), result.overlay())
        result.save(self._path(item, LABELS))
        height, width = result.labels.shape
        record = {
            "settings": self.fingerprint,
            "source": [str(item.path.resolve()), *file_state(item.path)],
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
