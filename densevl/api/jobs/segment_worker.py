"""The work of a segmenting job on one image after the other, in whatever process."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float16, UInt8

from densevl.api.jobs.familiarity import familiarity_record
from densevl.api.jobs.formats.probabilities import check_probabilities, of_cells
from densevl.api.jobs.manifest import check
from densevl.api.jobs.results import Results
from densevl.api.model import Model
from densevl.classifiers.classes import Classes
from densevl.classifiers.unknown import OpenClassifier
from densevl.core.engine import Worker
from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.core.files import InputFile
from densevl.core.inputs import Input
from densevl.core.labelmap import LabelMap
from densevl.core.masks import decode_masks
from densevl.core.regions import Regions
from densevl.core.segments import MIN_AREA, connected_segments
from densevl.regions.mask_makers.maker import MaskMaker
from densevl.tasks.segmentation.taught import TaughtLabels
from densevl.tasks.segmentation.tiles import Tiling

__all__ = ["Labelled", "SegmentWorker", "Segmented"]


class Segmented(NamedTuple):
    """What is said of an image that was segmented.

    Attributes:
        familiarity: what is known of the image's kind; None where nothing is.
    """

    familiarity: dict[str, Any] | None


class Labelled(NamedTuple):
    """What was found in an image.

    Attributes:
        result: its label map.
        masks: of the mask maker, the best first; None where it was not asked.
        trust: what supports taught classes, part by part; None where that was not asked for.
        probabilities: of the classes at cells; None where they are not wanted.
    """

    result: LabelMap
    masks: Bool[np.ndarray, "n H W"] | None
    trust: dict[str, Any] | None
    probabilities: Float16[np.ndarray, "k h w"] | None = None


class SegmentWorker(Worker[Input, UInt8[np.ndarray, "H W 3"] | Path, Labelled, Segmented]):
    """Reads images, labels them, and writes the results.

    Args:
        model: the loaded model.
        texts: the classes, embedded.
        results: the folder.
        batch: images that are encoded together.
        mask_maker: sees things, where instances are wanted of it.
        taught: classes that were taught; None for words.
        tiling: how images are cut into tiles; None labels each as a whole.
    """

    def __init__(
        self,
        model: Model,
        texts: TextEmbeddings | TaughtLabels,
        results: Results,
        batch: int,
        mask_maker: MaskMaker | None = None,
        taught: Classes | None = None,
        tiling: Tiling | None = None,
    ) -> None:
        self.tiling = tiling
        self.model, self.texts, self.results, self.batch, self.mask_maker = model, texts, results, batch, mask_maker
        self.opened = taught if taught is not None and _is_open(taught) else None

    def read(self, item: Input) -> UInt8[np.ndarray, "H W 3"] | Path:
        """The image; the file itself where its tiles are read when their turn comes."""
        return item.path if self.tiling is not None and isinstance(item, InputFile) else item.read()

    def make(self, items: Sequence[Input], read: Sequence[UInt8[np.ndarray, "_ _ 3"] | Path]) -> list[Labelled]:
        """Label images."""
        wanted, classes = self.results.wants_probabilities, len(self.texts.vocabulary)
        for image in read if wanted else ():
            if isinstance(image, np.ndarray):
                check_probabilities(classes, image.shape[0], image.shape[1])
        results = self.model.segment(list(read), self.texts, scores=wanted, tiling=self.tiling)
        cells = [None if one.scores is None else of_cells(one.scores) for one in results]
        plain = [one if one.scores is None else replace(one, scores=None) for one in results]
        return [
            Labelled(one, self._masks(one.image), self._trust(one), some)
            for one, some in zip(plain, cells, strict=True)
        ]

    def write(self, item: Input, made: Labelled) -> Segmented:
        """Write the results of an image.

        Raises:
            OutputError: where a file cannot be written, or the folder was begun anew.
            UsageError: where another run has written results of this name.
        """
        check(self.results.out, self.results.settings)
        if self.results.is_of_another(item):
            taken = "another run has written results of this name; run again, and it gets another one"
            raise UsageError(f"{item.name}: {taken}")
        kind = self._kind(made.result)
        self.results.write(item, made.result, made.masks, kind, made.trust, made.probabilities)
        return Segmented(kind)

    def _kind(self, result: LabelMap) -> dict[str, Any] | None:
        """What is known of the kind of an image."""
        known = self.model.known
        return None if known is None or result.familiarity is None else familiarity_record(known, result.familiarity)

    def _trust(self, result: LabelMap) -> dict[str, Any] | None:
        """What supports the class of each connected part, where the unknown was asked for; None where it was not."""
        classes, vocabulary = self.opened, self.texts.vocabulary
        if classes is None or result.image is None:
            return None
        found_parts = connected_segments(result.segments(), MIN_AREA)
        parts = [one for one in found_parts if one.label != vocabulary.background]
        if not parts:
            return None
        masks = decode_masks([one.mask for one in parts], result.labels.shape)
        found = self.model.trust(result.image, Regions.from_masks(masks), classes)
        for part, said in zip(parts, found["regions"], strict=True):
            said["labelled"] = vocabulary.names[part.label]
        return found

    def _masks(self, image: UInt8[np.ndarray, "H W 3"] | None) -> Bool[np.ndarray, "n H W"] | None:
        """What the mask maker sees in an image, the best first; None where it is not wanted."""
        if self.mask_maker is None or image is None:
            return None
        masks = self.mask_maker.everything(image).masks
        return np.zeros((0, *image.shape[:2]), bool) if masks is None else masks.cpu().numpy()


def _is_open(classes: Classes) -> bool:
    """True for classes that are taught for regions and know an *unknown*."""
    head = classes.heads.get("regions")
    return head is not None and isinstance(head.classifier, OpenClassifier)
