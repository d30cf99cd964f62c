"""Embedding the regions of many files into an index: resumed where a run stopped, never stopped by a bad file.

The index is a folder of shards (:mod:`densevl.tasks.search.files`). Each is written, whole or not at all, when it is a
minute old or large: a run that is killed loses no more than that.
"""

import time
from collections.abc import Mapping, Sequence
from os.path import abspath
from pathlib import Path
from typing import Any

import numpy as np

from densevl.api.jobs.manifest import refuse_other
from densevl.api.jobs.runs import Run, file_state, fingerprint
from densevl.api.model import Model
from densevl.core.errors import UsageError, suggestion
from densevl.core.files import InputFile
from densevl.core.regions import RegionEmbeddings, Regions
from densevl.regions.proposals import ProposalFile, grid_regions
from densevl.tasks.search import IndexedImage, Part, RegionIndex, is_index
from densevl.tasks.search.files import next_part, part_files, write_part
from densevl.tasks.search.part import check_vectors
from densevl.weights.download import file_sha256

__all__ = ["REGIONS", "EmbedJob"]

REGIONS = ("auto", "everything", "grid", "whole")
"""The sources of regions: the mask maker or else a grid; the mask maker; a grid of boxes; each image as a whole."""

PART_SECONDS, PART_REGIONS = 60.0, 65536
"""When a shard is written."""


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
        UsageError: where the regions are unknown, the index is another model's, or the model has no mask maker to
            propose everything.
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
        loaded = dict(loaded or {})
        digest = fingerprint(model.embedder.protocol, self._mask_maker(), self.regions, masks, loaded)
        self.settings = {"name": model.name, **loaded, "regions": self.regions, "settings": digest}
        self._opened = None if overwrite or not is_index(out) else RegionIndex.open(out)
        other = None if self._opened is None else self._opened.model_id
        if other is not None and other != model.embedder.encoder.model_id:
            if not replace:
                raise UsageError(
                    f"the index {out} was made by {other!r} and this model is {model.embedder.encoder.model_id!r}; "
                    "write to another folder, or begin it anew with --overwrite"
                )
            self._opened = None
        self._pending: list[tuple[IndexedImage, Regions, RegionEmbeddings]] = []
        self._since = time.monotonic()

    def run(self, inputs: Sequence[InputFile]) -> Run[InputFile, int]:
        """Embed what is not in the index yet; the number of regions is said of each input.

        Raises:
            OutputError: where a shard cannot be written: the disk would fail for the other inputs as well.
            UsageError: where the folder holds the results of another command.
        """
        refuse_other(self.out, "embed")
        states = self._states()
        run = Run[InputFile, int](
            self.out, inputs, lambda item: states.get(abspath(item.path)) == file_state(item.path)
        )
        if self._opened is None:
            for path in part_files(self.out):
                path.unlink()
        try:
            for item, (regions, vectors) in run.results(self._embed, self.batch, "embedding"):
                image = IndexedImage(abspath(item.path), regions.size, file_state(item.path))
                self._pending.append((image, regions, vectors))
                run.done.append((item, len(regions)))
                self._write(old=time.monotonic() - self._since > PART_SECONDS)
        finally:  # an interrupted run keeps what it has
            self._write(old=True)
        return run

    def _mask_maker(self) -> str | None:
        """Identity of what makes proposals, or masks of boxes; None where nothing does.

        Raises:
            UsageError: where it is to propose and the model has none.
        """
        if self.regions not in ("auto", "everything") and not self.model.embedder.needs_masks:
            return None
        maker = self.model.mask_maker
        if maker is None and self.regions == "everything":
            raise UsageError(
                f"model {self.model.name!r} has no mask maker to propose regions; name one, such as --mask-maker "
                "sam-vit-b, give boxes, or take a grid"
            )
        return None if maker is None else maker.model_id

    def _states(self) -> dict[str, tuple[int, ...] | None]:
        """States of the files in the index, None where their regions would be found or embedded differently now."""
        states: dict[str, tuple[int, ...] | None] = {}
        for part in () if self._opened is None else self._opened.parts:
            same = part.model.get("settings") == self.settings["settings"]
            states.update({image.path: image.state if same else None for image in part.images})
        return states

    def _embed(
        self, inputs: Sequence[InputFile], images: Sequence[np.ndarray]
    ) -> list[tuple[Regions, RegionEmbeddings]]:
        found = [self._propose(image, item) for item, image in zip(inputs, images, strict=True)]
        embedded = self.model.embed_regions(images, found)
        for item, vectors in zip(inputs, embedded, strict=True):
            check_vectors(vectors.vectors, item.path.name)
        return list(zip(found, embedded, strict=True))

    def _propose(self, image: np.ndarray, item: InputFile) -> Regions:
        size = (image.shape[0], image.shape[1])
        if self.file is not None:
            return self.file.regions(size, item.path.name)
        if self.regions == "whole":
            return Regions.whole(size)
        return grid_regions(size) if self.regions == "grid" else self.model.propose(image)

    def _write(self, old: bool) -> None:
        """Write a shard where what is pending is old or large."""
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
