"""Embedding the regions of many files into an index: resumed where a run stopped, never stopped by a bad file.

The index is a folder of shards (:mod:`densevl.tasks.search.files`). The last one is written, whole or not at all, every
minute until it is large: a run that is killed loses no more than that, and where a shard ends does not depend on time.
Beside the shards, ``state.json`` remembers sizes, times and hashes of the images, to tell quickly what has changed.
"""

import time
from collections.abc import Mapping, Sequence
from os.path import abspath
from pathlib import Path
from typing import Any

import numpy as np

from densevl.api.jobs.file_digests import FileDigests
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
"""How often the last shard is written, and how large it grows."""

STATE = "state.json"
"""The file beside the shards that remembers the hashes of the images."""


class EmbedJob:
    """Embeds regions of files into an index.

    Args:
        model: the loaded model.
        out: folder of the index; made where it is missing, added to where there is one.
        regions: one of :data:`REGIONS`, or the path of a JSON file of boxes by image (see
            :class:`densevl.regions.proposals.ProposalFile`).
        form: ``safetensors`` or ``parquet``.
        batch: images that are encoded together.
        masks: whether to keep the masks of regions that have some.
        overwrite: begin the index anew.
        replace: begin an index of another model anew, rather than refuse to add to it.
        loaded: further arguments that loaded the model, so that a search can load it again.

    Raises:
        UsageError: where the regions, the format or the batch cannot be used, the index is another model's, or the
            model has no mask maker to propose everything.
    """

    def __init__(
        self,
        model: Model,
        out: Path,
        regions: Any = "auto",
        form: str = "safetensors",
        batch: int = 8,
        masks: bool = True,
        overwrite: bool = False,
        replace: bool = False,
        loaded: Mapping[str, Any] | None = None,
    ) -> None:
        if not isinstance(batch, int) or batch < 1:
            raise UsageError(f"batch is the number of images that are encoded together, 1 or more; got {batch!r}")
        out = Path(out)
        self.model, self.out, self.form, self.batch, self.masks = model, out, form, batch, masks
        self._file = next_part(out, form)  # an unknown format is said before anything is embedded
        self.file = (
            None if isinstance(regions, str) and regions in REGIONS else ProposalFile(_existing(regions), named=True)
        )
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
        self._digests = FileDigests(out / STATE)
        self._pending: list[Part] = []
        self._written, self._since = 0, time.monotonic()

    def run(self, inputs: Sequence[InputFile]) -> Run[InputFile, int]:
        """Embed what is not in the index yet; the number of regions is said of each input.

        Raises:
            OutputError: where a shard cannot be written: the disk would fail for the other inputs as well.
            UsageError: where the folder holds the results of another command.
        """
        refuse_other(self.out, "embed")
        states = self._states()
        run = Run[InputFile, int](self.out, inputs, lambda item: self._unchanged(item, states))
        if self._opened is None:
            for path in part_files(self.out):
                path.unlink()
        try:
            for item, (regions, vectors) in run.results(self._embed, self.batch, "embedding"):
                image = IndexedImage(abspath(item.path), regions.size, self._digests.of(item.path))
                self._pending.append(Part.of([image], [regions], [vectors], self.settings, self.masks))
                run.done.append((item, len(regions)))
                self._write(old=time.monotonic() - self._since > PART_SECONDS)
        finally:  # an interrupted run keeps what it has
            self._write(old=True)
            self._digests.save()
        return run

    def _unchanged(self, item: InputFile, states: Mapping[str, tuple[int, ...] | None]) -> bool:
        """Whether an image is in the index as its file is now."""
        known = states.get(abspath(item.path))
        return bool(known) and known in (file_state(item.path), self._digests.of(item.path))

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
        """Write the last shard where it is old or large; a large one is the last no more."""
        large = sum(map(len, self._pending)) >= PART_REGIONS
        if len(self._pending) == self._written or not (old or large):
            return
        if self._written == 0:
            self._file = next_part(self.out, self.form)
        write_part(RegionIndex(tuple(self._pending)).merged(), self._file)
        self._written, self._since = len(self._pending), time.monotonic()
        if large:
            self._pending, self._written = [], 0


def _existing(regions: Any) -> Path:
    if not isinstance(regions, str | Path):
        raise UsageError(f"regions are one of {', '.join(REGIONS)}, or a JSON file of boxes; got {regions!r}")
    if isinstance(regions, str) and not Path(regions).exists():
        raise UsageError(
            f"regions {regions!r} are unknown; give a JSON file of boxes, or {suggestion(regions, REGIONS)}"
        )
    return Path(regions)
