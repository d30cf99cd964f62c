"""Embedding the regions of many images into an index: resumed where a run stopped, never stopped by a bad file.

The index is a folder of shards (:mod:`densevl.tasks.search.files`). The last one is written, whole or not at all, every
minute until it is large: a run that is killed loses no more than that, and where a shard ends does not depend on time.
Beside the shards, ``state.json`` remembers sizes, times and hashes of the images, to tell quickly what has changed.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from densevl.api.jobs.embed_worker import Embedded, EmbedRecipe, EmbedWorker
from densevl.api.jobs.familiarity import KindRecipe, KindWorker, Unfamiliar
from densevl.api.jobs.file_digests import FileDigests
from densevl.api.jobs.kinds import Kinds
from densevl.api.jobs.manifest import refuse_other
from densevl.api.jobs.runs import Run, fingerprint
from densevl.api.loading import Loading
from densevl.api.model import Model
from densevl.core.engine import HERE, Engine
from densevl.core.errors import UsageError, suggestion
from densevl.core.files import InputFile
from densevl.core.inputs import Input
from densevl.regions.proposals import ProposalFile
from densevl.tasks.search import IndexedImage, Part, RegionIndex, is_index
from densevl.tasks.search.files import next_part, part_files, write_part
from densevl.tasks.search.image_table import ImageTable
from densevl.tasks.search.stores import check_store, store_of
from densevl.weights.download import file_sha256

__all__ = ["REGIONS", "EmbedJob"]

REGIONS = ("auto", "everything", "grid", "whole")
"""The sources of regions: the mask maker or else a grid; the mask maker; a grid of boxes; each image as a whole."""

PART_SECONDS, PART_REGIONS = 60.0, 65536
"""How often the last shard is written, and how large it grows."""

TOGETHER = 512
"""Images that are joined in memory."""

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
        engine: where images are embedded; the index is written by this process alone.
        loading: how other processes load the model; needed where the engine has any.
        store: of the vectors, one of :data:`densevl.tasks.search.stores.STORES`; None for that of the index's last
            part, and float32 where there is none.

    Raises:
        UsageError: where the regions, the format, the store or the batch cannot be used, the index is another model's,
            or the model has no mask maker to propose everything.
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
        engine: Engine = HERE,
        loading: Loading | None = None,
        store: str | None = None,
    ) -> None:
        if not isinstance(batch, int) or batch < 1:
            raise UsageError(f"batch is the number of images that are encoded together, 1 or more; got {batch!r}")
        out = Path(out)
        self.model, self.out, self.form, self.engine, self.loading = model, out, form, engine, loading
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
        if store is not None:
            check_store(store)
        self.store = store or ("float32" if self._opened is None else store_of(self._opened.parts[-1].vectors))
        self._digests, self.unfamiliar = FileDigests(out / STATE), Unfamiliar(model.name)
        source = self.file or self.regions
        self.worker = EmbedWorker(model, source, masks, batch)
        self.recipe = None if loading is None else EmbedRecipe(loading, model.known, source, masks, batch)
        self._pending = Pending(out)
        self._written, self._since = 0, time.monotonic()

    def run(self, inputs: Sequence[Input]) -> Run[Input, int]:
        """Embed what is not in the index yet; the number of regions is said of each input.

        Raises:
            OutputError: where a shard cannot be written: the disk would fail for the other inputs as well.
            UsageError: where the folder holds the results of another command.
        """
        refuse_other(self.out, "embed")
        run = Run[Input, int](self.out, inputs, self._is_unchanged)
        if self._opened is None:
            for path in part_files(self.out):
                path.unlink()
        known = self.model.known
        kinds = None if known is None else Kinds(self.out, known, anew=self._opened is None)
        try:
            with run.progress("embedding", len(run.todo)) as progress:
                for outcome in run.outcomes(self.engine, self.recipe, self.worker):
                    if outcome.failure is not None:
                        run.fail(outcome.failure)
                    elif outcome.said is not None:
                        self._add(outcome.item, outcome.said)
                        run.done.append((outcome.item, len(outcome.said.boxes)))
                        if kinds is not None and outcome.said.familiarity is not None:
                            kinds.note(outcome.item.place, outcome.said.familiarity, self._state(outcome.item))
                    progress.update()
        finally:  # an interrupted run keeps what it has
            self._write(old=True)
            self._digests.save()
        if kinds is not None:
            self._tell_kinds([*(item for item, _ in run.done), *run.skipped], kinds, run)
        return run

    def _add(self, item: Input, said: Embedded) -> None:
        """Add an image to the last shard, and write that where it is time."""
        state = said.state
        if isinstance(item, InputFile):
            state = self._digests.remember(item.path, state)
        self._pending.add(said.part(IndexedImage(item.place, said.size, state), self.settings))
        self._write(old=time.monotonic() - self._since > PART_SECONDS)

    def _tell_kinds(self, items: Sequence[Input], kinds: Kinds, run: Run[Input, int]) -> None:
        """Say of each image in the index whether it is of the kind that the model knows; what is said is kept.

        Args:
            items: the images in the index.
            kinds: what was said of them. Images of earlier runs are looked at again only where nothing was said of
                them, or by another test.
            run: takes account of images that cannot be looked at again.
        """
        unsaid = [item for item in items if kinds.of(item.place, self._state(item)) is None]
        recipe = None if self.loading is None else KindRecipe(self.loading, kinds.known)
        if unsaid:
            with run.progress("kinds of images", len(unsaid)) as progress:
                own = KindWorker(self.model, kinds.known)
                for outcome in run.outcomes(self.engine, recipe, own, unsaid):
                    if outcome.failure is not None:
                        run.fail(outcome.failure)
                    elif outcome.said is not None:
                        kinds.note(outcome.item.place, outcome.said, self._state(outcome.item))
                    progress.update()
        for item in items:
            self.unfamiliar.note(item.name, kinds.of(item.place, self._state(item)))
        kinds.save()

    def _state(self, item: Input) -> tuple[int, ...]:
        """Numbers that differ once an image has changed: of its content where it is a file, which may be moved."""
        return self._digests.of(item.path) if isinstance(item, InputFile) else item.state()

    def _is_unchanged(self, item: Input) -> bool:
        """True where an image is in the index as it is now, made with the same settings."""
        found = None if self._opened is None else self._opened.image_of(item.place)
        if found is None or not found[0].state or found[1].model.get("settings") != self.settings["settings"]:
            return False
        return found[0].state == item.state() or found[0].state == self._state(item)

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

    def _write(self, old: bool) -> None:
        """Write the last shard where it is old or large; a large one is the last no more."""
        large = self._pending.regions >= PART_REGIONS
        if self._pending.images == self._written or not (old or large):
            return
        if self._written == 0:
            self._file = next_part(self.out, self.form)
        write_part(self._pending.merged(), self._file, self.store)
        self._written, self._since = self._pending.images, time.monotonic()
        if large:
            self._pending, self._written = Pending(self.out), 0


class Pending:
    """Images that are embedded and wait to be written as one shard.

    Args:
        folder: of the index.

    Attributes:
        images: how many there are.
        regions: of all of them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.images, self.regions = folder, 0, 0
        self._groups: list[Part] = []
        self._single: list[Part] = []

    def add(self, part: Part) -> None:
        """Add an image."""
        self._single.append(part)
        self.images += 1
        self.regions += len(part)
        if len(self._single) >= TOGETHER:  # many small tensors and texts take several times their content
            group = RegionIndex(tuple(self._single)).merged()
            rows = [(image.path, *image.size, *image.state) for image in group.images]
            self._groups.append(replace(group, images=ImageTable(rows, self.folder)))
            self._single.clear()

    def merged(self) -> Part:
        """All of them, as one part."""
        return RegionIndex((*self._groups, *self._single)).merged()


def _existing(regions: Any) -> Path:
    if not isinstance(regions, str | Path):
        raise UsageError(f"regions are one of {', '.join(REGIONS)}, or a JSON file of boxes; got {regions!r}")
    if isinstance(regions, str) and not Path(regions).exists():
        raise UsageError(
            f"regions {regions!r} are unknown; give a JSON file of boxes, or {suggestion(regions, REGIONS)}"
        )
    return Path(regions)
