"""Segmenting many files: outputs that mirror the inputs, resumed where a run stopped, never stopped by a bad file.

What is written is the matter of :mod:`densevl.api.jobs.results`.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from densevl.api.jobs.results import Results
from densevl.api.jobs.runs import Run, fingerprint
from densevl.api.model import Classes, Model
from densevl.core.features import TextEmbeddings
from densevl.core.files import InputFile, atomic_write
from densevl.core.labelmap import LabelMap

__all__ = ["SegmentJob"]


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
        settings = fingerprint(model.segmentor.protocol, words.classes, words.background, texts.threshold, texts.delta)
        self.results = Results(out, model.name, words, settings)
        with atomic_write(out / "vocabulary.json") as temporary:
            temporary.write_text(json.dumps(asdict(words), ensure_ascii=False), encoding="utf-8")

    def run(self, inputs: Sequence[InputFile]) -> Run[InputFile, dict[str, float]]:
        """Segment what is not done yet; the fraction of the area by class is said of each input.

        Raises:
            OutputError: where a result cannot be written: the disk would fail for the other inputs as well.
        """
        run = Run[InputFile, dict[str, float]](
            self.out, inputs, lambda item: not self.overwrite and self.results.is_done(item)
        )
        for item, result in run.results(self._segment, self.batch, "segmenting"):
            self.results.write(item, result)
            run.done.append((item, result.areas()))
        self.results.join()
        return run

    def _segment(self, inputs: Sequence[InputFile], images: Sequence[np.ndarray]) -> list[LabelMap]:
        return self.model.segment(list(images), self.texts)
