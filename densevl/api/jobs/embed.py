"""Embedding the regions of many files into an index: resumed where a run stopped, never stopped by a bad file.

The index is a folder of parts (:mod:`densevl.tasks.search.files`), each written whole or not at all when it is a minute
old or large: a run that is killed loses no more than that. Beside them lies ``failures.jsonl``, with one line for each
input that failed.
"""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os.path import abspath
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from densevl.api.jobs.runs import FAILURES, Batch, failure_reason, file_state, note_failure, read_batches
from densevl.api.model import Model
from densevl.core.errors import DensevlError, UsageError, suggestion
from densevl.core.files import InputFile
from densevl.core.regions import RegionEmbeddings, Regions
from densevl.regions.proposals import ProposalFile, grid_regions
from densevl.tasks.search import IndexedImage, Part, RegionIndex, is_index
from densevl.tasks.search.files import next_part, part_files, write_part
from densevl.tasks.search.part import check_vectors
from densevl.weights.download import file_sha256

__all__ = ["REGIONS", "EmbedJob", "EmbedReport"]

REGIONS = ("auto", "everything", "grid", "whole")
"""Where regions come from: the mask maker or else a grid; the mask maker; a grid of boxes; each image as a whole."""

PART_SECONDS, PART_REGIONS = 60.0, 65536
"""When a part is written."""


@dataclass
class EmbedReport:
    """What became of the inputs of a job.

    Attributes:
        done: inputs embedded now, with the number of their regions.
        skipped: inputs whose regions were there already.
        failed: inputs that could not be embedded, with the reason.
    """

    done: list[tuple[InputFile, int]] = field(default_factory=list)
    skipped: list[InputFile] = field(default_factory=list)
    failed: list[tuple[InputFile, str]] = field(default_factory=list)


class EmbedJob:
    """Embeds regions of files into an index.

    Args:
        model: the loaded model.
        out: folder of the index; made where it is missing, added to where there is one.
        regions: one of :data:`REGIONS`, or a JSON file of boxes by image (see
            :class:`densevl.regions.proposals.ProposalFile`).
        form: ``safetensors`` or ``parquet``.
        batch: images that are encoded together.
        masks: whether to keep the masks of regions that have some.
        overwrite: begin the index anew.
        replace: begin an index of another model anew, rather than refuse to add to it.
        loaded: further arguments that loaded the model, so that a search can load it again.

    Raises:
        UsageError: where the regions are unknown, or the index is another model's.
    """

    def __init__(
        self,
        model: Model,
        out: Path,
        regions: str | Path = "auto",
        form: str = "safetensors",
        batch: int = 8,
        masks: bool = True,
        overwrite: bool = False,
        replace: bool = False,
        loaded: Mapping[str, Any] | None = None,
    ) -> None:
        self.model, self.out, self.form, self.batch, self.masks = model, out, form, batch, masks
        next_part(out, form)  # an unknown format is said before anything is embedded
        self.file = None if regions in REGIONS else ProposalFile(_existing(regions), named=True)
        self.regions = f"boxes {file_sha256(Path(regions))[:12]}" if self.file is not None else str(regions)
        settings = {"embedder": model.embedder.protocol, "regions": self.regions, "loaded": dict(loaded or {})}
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:16]
        self.settings = {"name": model.name, **(loaded or {}), "regions": self.regions, "settings": digest}
        self._opened = None if overwrite or not is_index(out) else RegionIndex.open(out)
        other = None if self._opened is None else self._opened.model_id
        if other is not None and other != model.embedder.encoder.model_id:
            if not replace:
                raise UsageError(
                    f"the index {out} was made by {other!r} and this model is {model.embedder.encoder.model_id!r}; "
                    "write to another folder, or begin it anew with --overwrite"
                )
            self._opened = None
        self._anew = self._opened is None
        self._pending: list[tuple[IndexedImage, Regions, RegionEmbeddings]] = []
        self._since = time.monotonic()

    def run(self, inputs: Sequence[InputFile]) -> EmbedReport:
        """Embed what is not in the index yet.

        Raises:
            OutputError: where a part cannot be written: the disk would fail for the other inputs as well.
            UsageError: where a mask maker is asked for and the model has none.
        """
        report, done = EmbedReport(), self._done()
        (self.out / FAILURES).unlink(missing_ok=True)
        todo: list[InputFile] = []
        for item in inputs:
            known = done.get(abspath(item.path))
            (report.skipped if known is not None and known == _state(item.path) else todo).append(item)
        proposes = bool(todo) and self.regions in ("auto", "everything")
        if proposes and self.model.mask_maker is None and self.regions == "everything":
            raise UsageError(
                f"model {self.model.name!r} has no mask maker to propose regions; name one, such as --mask-maker "
                "sam-vit-b, give boxes, or take a grid"
            )
        if self._anew:
            for path in part_files(self.out):
                path.unlink()
        try:
            with tqdm(total=len(todo), desc="embedding", unit="image", delay=1, disable=None) as progress:
                for batch in read_batches(todo, self.batch):
                    for item, result in self._embed(batch):
                        self._keep(item, result, report)
                        progress.update()
                    self._write(old=time.monotonic() - self._since > PART_SECONDS)
        finally:  # an interrupted run keeps what it has
            self._write(old=True)
        return report

    def _done(self) -> dict[str, tuple[int, ...]]:
        """State of the files whose regions are in the index, found and embedded as they would be now."""
        states: dict[str, tuple[int, ...]] = {}
        for part in () if self._opened is None else self._opened.parts:
            same = part.model.get("settings") == self.settings["settings"]
            states.update({image.path: image.state if same else () for image in part.images})
        return states

    def _embed(self, batch: Batch) -> Iterator[tuple[InputFile, tuple[Regions, RegionEmbeddings] | str]]:
        pictures = [picture for _, picture in batch if isinstance(picture, np.ndarray)]
        try:
            found = [self._propose(picture, item) for item, picture in batch if isinstance(picture, np.ndarray)]
            embedded = self.model.embed_regions(pictures, found)
            for (item, _), vectors in zip(
                (pair for pair in batch if isinstance(pair[1], np.ndarray)), embedded, strict=True
            ):
                check_vectors(vectors.vectors, item.path.name)
        except (DensevlError, MemoryError, RuntimeError) as error:
            if len(batch) == 1:
                yield batch[0][0], failure_reason(error)
            else:
                for one in batch:
                    yield from self._embed([one])
            return
        pairs = iter(zip(found, embedded, strict=True))
        for item, picture in batch:
            yield item, picture if isinstance(picture, str) else next(pairs)

    def _propose(self, picture: np.ndarray, item: InputFile) -> Regions:
        size = (picture.shape[0], picture.shape[1])
        if self.file is not None:
            return self.file.regions(size, item.path.name)
        if self.regions == "whole":
            return Regions.whole(size)
        return grid_regions(size) if self.regions == "grid" else self.model.propose(picture)

    def _keep(self, item: InputFile, result: tuple[Regions, RegionEmbeddings] | str, report: EmbedReport) -> None:
        if isinstance(result, str):
            report.failed.append((item, result))
            note_failure(self.out, item.path, result)
            return
        image = IndexedImage(abspath(item.path), result[0].size, _state(item.path) or ())
        self._pending.append((image, *result))
        report.done.append((item, len(result[0])))

    def _write(self, old: bool) -> None:
        """Write a part where what is pending is old or large."""
        if not self._pending or not (old or sum(len(found) for _, found, _ in self._pending) >= PART_REGIONS):
            return
        images, regions, embeddings = zip(*self._pending, strict=True)
        write_part(Part.of(images, regions, embeddings, self.settings, self.masks), next_part(self.out, self.form))
        self._pending, self._since = [], time.monotonic()


def _existing(regions: str | Path) -> Path:
    if isinstance(regions, str) and not Path(regions).exists():
        raise UsageError(
            f"regions {regions!r} are unknown; give a JSON file of boxes, or {suggestion(regions, REGIONS)}"
        )
    return Path(regions)


def _state(path: Path) -> tuple[int, ...] | None:
    """The state of a file; None where it has gone."""
    try:
        return file_state(path)
    except OSError:
        return None
