"""Segmenting many files: outputs that mirror the inputs, resumed where a run stopped, never stopped by a bad file.

What is written is the matter of :mod:`densevl.api.jobs.results`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from densevl.api.jobs.familiarity import Unfamiliar
from densevl.api.jobs.formats import DEFAULT
from densevl.api.jobs.manifest import begin, read_manifest
from densevl.api.jobs.merge import finish
from densevl.api.jobs.packs import pack_paths
from densevl.api.jobs.results import Results, chosen, is_there
from densevl.api.jobs.runs import Run, fingerprint
from densevl.api.jobs.segment_worker import Segmented, SegmentWorker
from densevl.api.jobs.shards import Shard, ShardNote
from densevl.api.loading import Loading
from densevl.api.model import ClassesLike, Model
from densevl.classifiers.classes import Classes
from densevl.classifiers.familiarity import Familiarity
from densevl.core.engine import HERE, Engine
from densevl.core.errors import UsageError
from densevl.core.failures import FailureList
from densevl.core.features import TextEmbeddings
from densevl.core.inputs import Input
from densevl.regions.mask_makers.maker import MaskMaker
from densevl.tasks.segmentation.taught import TaughtLabels

__all__ = ["SegmentJob", "SegmentRecipe"]


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
        save: names of the formats that are written, see :data:`densevl.api.jobs.formats.FORMATS`; those that the folder
            has are kept up to date beside them. None for those that it has, or the usual ones.
        instances: what counts as one thing, one of :data:`densevl.api.jobs.formats.record.INSTANCES`; None for the
            choice of the folder, or a mask for each class.
        min_area: least pixels of an instance; None for the choice of the folder, or
            :data:`densevl.core.segments.MIN_AREA`.
        engine: where the work is done.
        loading: how other processes load the model; needed where the engine has any.
        pack: inputs whose results become one tar, see :class:`densevl.api.jobs.packed.PackedJob`; None for files.
        tile: side and overlap of the tiles that images are cut into, in pixels; the overlap None for the usual one.
            None labels each image as a whole.
        usual: names of the usual formats, those of a new folder where ``save`` is None; see
            :func:`densevl.api.jobs.formats.usual_formats`.

    Attributes:
        is_new: whether the folder had no results of these settings.

    Raises:
        OutputError: where ``out`` cannot be written.
        UsageError: where the classes or the background cannot be used, the folder has another job, a format is unknown,
            instances are wanted of a mask maker and the model has none, or it would have to see tiles alone.
    """

    def __init__(
        self,
        model: Model,
        classes: ClassesLike,
        out: Path,
        background: Any = None,
        batch: int = 1,
        overwrite: bool = False,
        save: Sequence[str] | None = None,
        instances: str | None = None,
        min_area: int | None = None,
        engine: Engine = HERE,
        loading: Loading | None = None,
        pack: int | None = None,
        tile: tuple[int, int | None] | None = None,
        usual: Sequence[str] = DEFAULT,
    ) -> None:
        self.model, self.out, self.batch, self.overwrite, self.engine = model, out, batch, overwrite, engine
        self.unfamiliar = Unfamiliar(model.name)
        self.texts: TextEmbeddings | TaughtLabels
        if isinstance(classes, Classes):
            self.texts = taught = model.read_classes(classes, background)
            protocol = taught.protocol
        else:
            self.texts = model.embed_classes(classes, background)
            protocol = model.segmentor.protocol
        tiling = None if tile is None else model.tiling(*tile)
        protocol = {**protocol, **({} if tiling is None else {"tile": tiling.name})}
        words, limits = self.texts.vocabulary, {"threshold": self.texts.threshold, "delta": self.texts.delta}
        tested = [] if model.known is None else [model.known.digest]
        settings = fingerprint(protocol, words.classes, words.background, *limits.values(), *tested)
        before = read_manifest(out) or {}
        self.is_new = before.get("fingerprint") != settings
        formats, kinds = chosen({} if self.is_new else before, save, instances, min_area, usual)
        mask_maker = _mask_maker(model) if kinds.mode == "masks" else None
        if mask_maker is not None and tiling is not None:
            raise UsageError("a mask maker sees whole images; choose --instances connected, or leave out --tile")
        if tiling is not None and "probabilities" in formats:
            raise UsageError("probabilities are those of a whole image; leave out --tile, or probabilities of --save")
        maker = None if mask_maker is None else mask_maker.model_id
        self.results = Results(out, model.name, words, settings, formats, kinds, maker)
        packed = {} if pack is None else {"pack": pack}
        manifest = self.results.manifest(protocol=protocol, **packed, **limits)
        if not self.is_new and before.get("pack") != pack:
            there = "in files" if "pack" not in before else f"in tars of {before['pack']} each (--pack)"
            raise UsageError(f"{out} has its results {there}; go on in that way, or name another folder with --out")
        begin(out, manifest, overwrite, lambda before: _clear(out, before))
        own = classes if isinstance(classes, Classes) else None
        self.worker = SegmentWorker(model, self.texts, self.results, batch, mask_maker, own, tiling)
        here = (classes, out.absolute(), background, batch, model.known, pack, tile)
        self.recipe = None if loading is None else SegmentRecipe(loading, *here)

    def run(self, inputs: Sequence[Input], shard: Shard | None = None) -> Run[Input, None]:
        """Segment what is not done yet; what is in it is said of each input.

        Args:
            inputs: all images.
            shard: the part of them that this process does. What belongs to all images (``annotations.json``, videos) is
                then left to :func:`densevl.api.jobs.merge.merge`; None does it at the end.

        Raises:
            OutputError: where a result cannot be written: the disk would fail for the other inputs as well.
        """
        if shard is not None:
            shard.file(self.out).unlink(missing_ok=True)
        failed = {failure.name for failure in FailureList(self.out).read()}
        mine = set[str]()

        def own() -> Iterator[Input]:
            for given, item in zip(inputs, self.results.named(inputs), strict=True):
                if shard is None or shard.has(given):
                    if failed and item.place in failed:
                        mine.add(item.place)
                    yield item

        def is_done(item: Input) -> bool:
            done = None if self.overwrite else self.results.finished(item)
            if done is not None:
                self.unfamiliar.note(item.name, done.familiarity)
            return done is not None

        run = Run[Input, None](
            self.out, own(), is_done, lambda name: name in mine or (shard is None and not is_there(name))
        )
        run.work(self.engine, self.recipe, self.worker, "segmenting", self._keep)
        if shard is None:
            run.failures += finish(self.results, (item.place for item, _ in run.done))
        else:
            ShardNote(shard, len(inputs), len(run.todo) + len(run.skipped), len(run.failures)).write(self.out)
        return run

    def _keep(self, item: Input, said: Segmented) -> None:
        """Take account of what is said of an input; the records keep the rest."""
        self.unfamiliar.note(item.name, said.familiarity)


@dataclass(frozen=True)
class SegmentRecipe:
    """How another process makes the worker of a job that has begun.

    Attributes:
        loading: of the model.
        classes: what to look for.
        out: folder of the results, which that process reaches.
        background: background mode; None for the model's own.
        batch: images that are encoded together.
        known: tells the images that the model knows from others; None where nothing does.
        pack: inputs of a tar; None for files.
        tile: as :class:`SegmentJob` takes it.
    """

    loading: Loading
    classes: ClassesLike
    out: Path
    background: Any
    batch: int
    known: Familiarity | None
    pack: int | None = None
    tile: tuple[int, int | None] | None = None

    def __call__(self) -> SegmentWorker:
        """The worker.

        Raises:
            UsageError: where the model is another one there, so that its results would differ.
        """
        model = self.loading.load()
        model.known = self.known
        settings = (self.classes, self.out, self.background, self.batch)
        return SegmentJob(model, *settings, pack=self.pack, tile=self.tile).worker


def _clear(out: Path, before: dict[str, Any]) -> None:
    """Remove the results of the job that a folder had."""
    Results.of(out, before).clear()
    for path in pack_paths(out) if "pack" in before else ():
        path.unlink(missing_ok=True)


def _mask_maker(model: Model) -> MaskMaker:
    if model.mask_maker is None:
        raise UsageError(
            f"model {model.name!r} has no mask maker; choose --instances connected, or a model with one, such as mini"
        )
    return model.mask_maker
