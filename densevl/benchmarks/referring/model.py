"""A grounder as a benchmark model: an image is encoded once for all its expressions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from mmengine.hooks import Hook
from mmengine.registry import MODELS
from mmengine.structures import BaseDataElement
from torch import Tensor

from densevl.benchmarks.protocols import LoadedModel, as_array
from densevl.benchmarks.referring.saving import SaveAnswers
from densevl.core.errors import UsageError
from densevl.core.regions import Regions
from densevl.metrics.overlaps import Answer
from densevl.tasks.grounding.grounding import Grounding

__all__ = ["GroundingModel"]

NONE = np.zeros((0, 4))


@runtime_checkable
class ReferredRegions(Protocol):
    """Images with expressions for regions of them."""

    proposals: str


@MODELS.register_module()
class GroundingModel(LoadedModel[ReferredRegions]):
    """Answers the expressions of a data set.

    Args:
        model: what :class:`LoadedModel` loads; it must have a grounder.
        changes: further arguments of :func:`densevl.load`.
    """

    def __init__(self, model: str | Mapping[str, Any] | None = None, **changes: Any) -> None:
        super().__init__(model, **changes)
        self.grounder = self.loaded.grounder
        self.proposals = "true"

    @property
    def protocol(self) -> dict[str, Any]:
        """The settings that decide a ranking."""
        return {**self.grounder.protocol, "device": str(self.grounder.device)}

    def hooks(self, out: str | Path | None, show_dir: str | Path | None) -> list[Hook]:
        """Answers as JSON, and drawings of the first boxes."""
        return [SaveAnswers(out, show_dir)]

    def prepare(self, dataset: ReferredRegions) -> None:
        """Learn which boxes expressions choose from.

        Raises:
            UsageError: where the grounder cannot find such proposals.
        """
        self.proposals = dataset.proposals
        needed = {"everything": "mask_maker", "detector": "detector"}.get(self.proposals)
        if needed is not None and getattr(self.grounder, needed) is None:
            raise UsageError(f"model {self.name!r} has no {needed}, which proposals={self.proposals} need")

    def answer(self, images: Sequence[Tensor], samples: Sequence[BaseDataElement]) -> None:
        """Add ``answers``, one an expression, to the samples, which have their ``refs`` and ``boxes``."""
        encoded = self._encoded([as_array(image) for image in images], samples)
        for image, sample in zip(encoded, samples, strict=True):
            texts = [text for ref in sample.refs for text in ref.sentences]
            sample.set_field(self._answers(image, texts), "answers")
            sample.set_field(self.grounder.mask_maker is not None, "masks")

    def _answers(self, image: Any, texts: list[str]) -> list[Answer]:
        """One answer an expression; where there can be none, the reason."""
        if isinstance(image, str):
            return [Answer(NONE, reason=image) for _ in texts]
        try:
            return [_answer(grounding) for grounding in self.grounder.refer(image, texts)]
        except UsageError:  # of one of them: ask each alone
            return [self._alone(image, text) for text in texts]

    def _encoded(self, images: Sequence[np.ndarray], samples: Sequence[BaseDataElement]) -> list[Any]:
        """The regions of all images, embedded together; of one that has none, the reason.

        Where the detector looks for each expression, the images themselves.
        """
        if self.proposals == "detector":
            return list(images)
        proposals: list[Regions | None] = [None] * len(images)
        if self.proposals != "everything":
            proposals = [_usable(sample.boxes, image) for image, sample in zip(images, samples, strict=True)]
        try:
            return list(self.grounder.encode_batch(images, proposals))
        except UsageError as error:  # of one of them: encode each alone
            if len(images) == 1:
                return ["no proposals" if proposals[0] is not None and len(proposals[0]) == 0 else str(error)]
            pairs = zip(images, samples, strict=True)
            return [self._encoded([image], [sample])[0] for image, sample in pairs]

    def _alone(self, image: Any, text: str) -> Answer:
        try:
            return _answer(self.grounder.refer(image, text))
        except UsageError as error:
            return Answer(NONE, reason=str(error))


def _usable(boxes: Sequence[Any] | None, image: np.ndarray) -> Regions:
    """The boxes of which anything lies in the image."""
    height, width = image.shape[:2]
    inside = [box for box in boxes or () if box[0] < width and box[1] < height and box[2] > 0 and box[3] > 0]
    return Regions.from_boxes(inside, (height, width))


def _answer(grounding: Grounding) -> Answer:
    boxes = grounding.regions.boxes.double().cpu().numpy()[list(grounding.ranking)]
    return Answer(boxes, grounding.mask)
