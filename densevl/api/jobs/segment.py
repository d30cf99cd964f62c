"""Segmenting many files: outputs that mirror the inputs, resumed where a run stopped, never stopped by a bad file.

What is written is the matter of :mod:`densevl.api.jobs.results`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8

from densevl.api.jobs.familiarity import Unfamiliar, familiarity_record
from densevl.api.jobs.manifest import begin, check, read_manifest
from densevl.api.jobs.merge import finish
from densevl.api.jobs.results import Results, chosen, is_there
from densevl.api.jobs.runs import Run, fingerprint
from densevl.api.jobs.shards import Shard, ShardNote
from densevl.api.model import ClassesLike, Model
from densevl.classifiers.classes import Classes
from densevl.classifiers.unknown import OpenClassifier
from densevl.core.errors import UsageError
from densevl.core.failures import Failure
from densevl.core.features import TextEmbeddings
from densevl.core.inputs import Input
from densevl.core.labelmap import LabelMap
from densevl.core.masks import decode_masks
from densevl.core.regions import Regions
from densevl.core.segments import MIN_AREA, connected_segments
from densevl.regions.mask_makers.maker import MaskMaker
from densevl.tasks.segmentation.taught import TaughtLabels

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
        save: names of the formats that are written, see :data:`densevl.api.jobs.formats.FORMATS`; those that the folder
            has are kept up to date beside them. None for those that it has, or the usual ones.
        instances: what counts as one thing, one of :data:`densevl.api.jobs.formats.record.INSTANCES`; None for the
            choice of the folder, or a mask for each class.
        min_area: least pixels of an instance; None for the choice of the folder, or
            :data:`densevl.core.segments.MIN_AREA`.

    Raises:
        OutputError: where ``out`` cannot be written.
        UsageError: where the classes or the background cannot be used, the folder has another job, a format is unknown,
            or instances are wanted of a mask maker and the model has none.
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
    ) -> None:
        self.model, self.out, self.batch, self.overwrite = model, out, batch, overwrite
        self.unfamiliar = Unfamiliar(model.name)
        self.texts: TextEmbeddings | TaughtLabels
        if isinstance(classes, Classes):
            self.texts = taught = model.read_classes(classes, background)
            protocol = taught.protocol
        else:
            self.texts = model.embed_classes(classes, background)
            protocol = model.segmentor.protocol
        self.opened = classes if isinstance(classes, Classes) and _is_open(classes) else None
        self.background = self.texts.vocabulary.background
        words, limits = self.texts.vocabulary, {"threshold": self.texts.threshold, "delta": self.texts.delta}
        tested = [] if model.known is None else [model.known.digest]
        settings = fingerprint(protocol, words.classes, words.background, *limits.values(), *tested)
        before = read_manifest(out) or {}
        formats, kinds = chosen(before if before.get("fingerprint") == settings else {}, save, instances, min_area)
        self.mask_maker = _mask_maker(model) if kinds.mode == "masks" else None
        maker = None if self.mask_maker is None else self.mask_maker.model_id
        self.results = Results(out, model.name, words, settings, formats, kinds, maker)
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
        for item, (result, masks) in run.results(self._segment, self.batch, "segmenting"):
            check(self.out, self.results.settings)
            if self.results.is_of_another(item):
                taken = "another run has written results of this name; run again, and it gets another one"
                run.fail(Failure(item.place, f"{item.name}: {taken}"))
                continue
            self.results.write(item, result, masks, self._kind(result), self._trust(result))
            run.done.append((item, result.areas()))
        for item in own:
            self.unfamiliar.note(item.name, (self.results.record(item.relative) or {}).get("familiarity"))
        if shard is None:
            run.failures += finish(self.results, {item.place for item, _ in run.done})
        else:
            ShardNote(shard, len(inputs), len(own), len(run.failures)).write(self.out)
        return run

    def _segment(
        self, inputs: Sequence[Input], images: Sequence[np.ndarray]
    ) -> list[tuple[LabelMap, Bool[np.ndarray, "n _ _"] | None]]:
        results = self.model.segment(list(images), self.texts)
        return [(result, self._masks(image)) for result, image in zip(results, images, strict=True)]

    def _kind(self, result: LabelMap) -> dict[str, Any] | None:
        """What is known of the kind of an image."""
        known = self.model.known
        return None if known is None or result.familiarity is None else familiarity_record(known, result.familiarity)

    def _trust(self, result: LabelMap) -> dict[str, Any] | None:
        """What supports the class of each connected part, where the unknown was asked for; None where it was not."""
        classes = self.opened
        if classes is None or result.image is None:
            return None
        parts = [one for one in connected_segments(result.segments(), MIN_AREA) if one.label != self.background]
        if not parts:
            return None
        masks = decode_masks([one.mask for one in parts], result.labels.shape)
        found = self.model.trust(result.image, Regions.from_masks(masks), classes)
        for part, said in zip(parts, found["regions"], strict=True):
            said["labelled"] = self.texts.vocabulary.names[part.label]
        return found

    def _masks(self, image: UInt8[np.ndarray, "H W 3"]) -> Bool[np.ndarray, "n H W"] | None:
        """What the mask maker sees in an image, the best first; None where it is not wanted."""
        if self.mask_maker is None:
            return None
        masks = self.mask_maker.everything(image).masks
        return np.zeros((0, *image.shape[:2]), bool) if masks is None else masks.cpu().numpy()


def _is_open(classes: Classes) -> bool:
    """True for classes that are taught for regions and know an *unknown*."""
    head = classes.heads.get("regions")
    return head is not None and isinstance(head.classifier, OpenClassifier)


def _mask_maker(model: Model) -> MaskMaker:
    if model.mask_maker is None:
        raise UsageError(
            f"model {model.name!r} has no mask maker; choose --instances connected, or a model with one, such as mini"
        )
    return model.mask_maker
