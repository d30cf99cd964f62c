"""Segmenting many files: outputs that mirror the inputs, resumed where a run stopped, never stopped by a bad file.

What is written is the matter of :mod:`densevl.api.jobs.results`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from densevl.api.jobs.manifest import begin, check
from densevl.api.jobs.merge import finish
from densevl.api.jobs.results import Results, is_there
from densevl.api.jobs.runs import Run, fingerprint
from densevl.api.jobs.shards import Shard, ShardNote
from densevl.api.model import Classes, Model
from densevl.core.failures import Failure
from densevl.core.features import TextEmbeddings
from densevl.core.inputs import Input
from densevl.core.labelmap import LabelMap

__all__ = ["SegmentJob"]


class SegmentJob:
    """Segments images into a folder, which holds one job: what was made with one model, one vocabulary, one protocol.

    Several processes may work on one folder at once.

    Args:
        model: the loaded model.
        classes: what to look for.
        out: folder of the results; made where it is missing.
        background: background mode; None for the model's own.
        batch: images that are encoded together.
        overwrite: segment again what is done already; where the folder has a job with other settings, remove its
            results and begin anew.

    Raises:
        OutputError: where ``out`` cannot be written.
        UsageError: where the classes or the background cannot be used, or the folder has another job.
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
        words, limits = self.texts.vocabulary, {"threshold": self.texts.threshold, "delta": self.texts.delta}
        protocol = model.segmentor.protocol
        self.results = Results(
            out, model.name, words, fingerprint(protocol, words.classes, words.background, *limits.values())
        )
        manifest = self.results.manifest(protocol=protocol, **limits)
        begin(out, manifest, overwrite, lambda before: Results.of(out, before).clear())

    def run(self, inputs: Sequence[Input], shard: Shard | None = None) -> Run[Input, dict[str, float]]:
        """Segment what is not done yet; the fraction of the area by class is said of each input.

        Args:
            inputs: all images.
            shard: the part of them that this process does. What belongs to all images (``annotations.json``, videos) is
                then left to :func:`densevl.api.jobs.merge.merge`; None does it at the end.

        Raises:
            OutputError: where a result cannot be written: the disk would fail for the other inputs as well.
        """
        if shard is not None:
            shard.file(self.out).unlink(missing_ok=True)
        mine = {item.place for item in (inputs if shard is None else shard.of(inputs))}
        own = [item for item in self.results.named(inputs) if item.place in mine]
        run = Run[Input, dict[str, float]](
            self.out,
            own,
            lambda item: not self.overwrite and self.results.is_done(item),
            lambda name: name in mine or (shard is None and not is_there(name)),
        )
        for item, result in run.results(self._segment, self.batch, "segmenting"):
            check(self.out, self.results.settings)
            if self.results.is_of_another(item):
                taken = "another run has written results of this name; run again, and it gets another one"
                run.fail(Failure(item.place, f"{item.name}: {taken}"))
                continue
            self.results.write(item, result)
            run.done.append((item, result.areas()))
        if shard is None:
            run.failures += finish(self.results, {item.place for item, _ in run.done})
        else:
            ShardNote(shard, len(inputs), len(own), len(run.failures)).write(self.out)
        return run

    def _segment(self, inputs: Sequence[Input], images: Sequence[np.ndarray]) -> list[LabelMap]:
        return self.model.segment(list(images), self.texts)
