"""densevl's grounder as a model of MMEngine's runner: an image is encoded once for all its expressions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.registry import MODELS
from mmengine.structures import BaseDataElement
from torch import Tensor

from densevl.benchmarks.parts import BenchmarkModel
from densevl.benchmarks.referring.measures import Answer
from densevl.benchmarks.referring.saving import SaveAnswers
from densevl.errors import UsageError
from densevl.grounding import Grounding, build_grounder
from densevl.regions import Regions

__all__ = ["GroundingModel"]

NONE = np.zeros((0, 4))


@MODELS.register_module()
class GroundingModel(BenchmarkModel):
    """Answers the expressions of a data set.

    Args:
        grounder: a name from ``densevl models`` that has a grounder, or arguments of
            :class:`densevl.grounding.Grounder`.
        weights: of its encoder, in the place of the model's own.
        changes: further arguments of :func:`densevl.grounding.build_grounder`.
    """

    def __init__(self, grounder: str | Mapping[str, Any] = "fgvp", weights: str | None = None, **changes: Any) -> None:
        super().__init__()
        self.name = grounder if isinstance(grounder, str) else "custom"
        self.grounder = build_grounder(grounder, weights=weights, **changes)
        self.proposals = "true"

    @property
    def protocol(self) -> dict[str, Any]:
        """What decides a ranking."""
        return {**self.grounder.protocol, "device": str(self.grounder.device)}

    def hooks(self, out: str | Path | None, show_dir: str | Path | None) -> list[Hook]:
        """Answers as JSON, and pictures with the first boxes."""
        return [SaveAnswers(out, show_dir)]

    def prepare(self, dataset: Any) -> None:
        """Learn what expressions choose from.

        Raises:
            UsageError: where the grounder cannot find such proposals.
        """
        self.proposals = dataset.proposals
        needed = {"everything": "mask_maker", "detector": "detector"}.get(self.proposals)
        if needed is not None and getattr(self.grounder, needed) is None:
            raise UsageError(f"model {self.name!r} has no {needed}, which proposals={self.proposals} need")

    @torch.inference_mode()
    def forward(
        self, inputs: Sequence[Tensor], data_samples: Sequence[BaseDataElement], mode: str = "predict"
    ) -> list[BaseDataElement]:
        """Add ``answers``, one an expression, to every sample that has a picture.

        Args:
            inputs: uint8 RGB images (3, H, W), each any size.
            data_samples: with their ``refs`` and ``boxes``; those with a ``failure`` are passed on as they are.
            mode: ``"predict"``; these models are not trained here.
        """
        if mode != "predict":
            raise UsageError(f"benchmarks only predict; got mode {mode!r}")
        for image, sample in zip(inputs, data_samples, strict=True):
            if "failure" in sample:
                continue
            picture = image.permute(1, 2, 0).contiguous().cpu().numpy()
            answers = self._answers(picture, [text for ref in sample.refs for text in ref.sentences], sample.boxes)
            sample.set_field(answers, "answers")
            sample.set_field(self.grounder.mask_maker is not None, "masks")
        return list(data_samples)

    def _answers(self, picture: np.ndarray, texts: list[str], boxes: Sequence[Any] | None) -> list[Answer]:
        """One answer an expression; where there can be none, the reason."""
        try:
            image = self._encoded(picture, boxes)
        except UsageError as error:
            return [Answer(NONE, reason=str(error)) for _ in texts]
        try:
            return [_answer(grounding) for grounding in self.grounder.refer(image, texts)]
        except UsageError:  # of one of them: ask each alone
            return [self._alone(image, text) for text in texts]

    def _encoded(self, picture: np.ndarray, boxes: Sequence[Any] | None) -> Any:
        """The picture with its regions embedded; the picture itself where the detector looks for each expression."""
        if self.proposals == "detector":
            return picture
        if self.proposals == "everything":
            return self.grounder.encode(picture)
        usable = [box for box in boxes or () if _inside(box, picture.shape[:2])]
        if not usable:
            raise UsageError("no proposals")
        return self.grounder.encode(picture, Regions.from_boxes(usable, picture.shape[:2]))

    def _alone(self, image: Any, text: str) -> Answer:
        try:
            return _answer(self.grounder.refer(image, text))
        except UsageError as error:
            return Answer(NONE, reason=str(error))


def _inside(box: Sequence[int | float], size: tuple[int, int]) -> bool:
    """Whether anything of a box lies in the picture."""
    return box[0] < size[1] and box[1] < size[0] and box[2] > 0 and box[3] > 0


def _answer(grounding: Grounding) -> Answer:
    boxes = grounding.regions.boxes.double().cpu().numpy()[list(grounding.ranking)]
    return Answer(boxes, grounding.mask)
