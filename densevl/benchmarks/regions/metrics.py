"""The metrics of recognition, of choosing captions and of retrieval."""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import asdict
from itertools import chain
from typing import Any

import numpy as np
import torch
from mmengine.registry import METRICS
from torch import Tensor

from densevl.benchmarks.per_image import PerImageMetric
from densevl.metrics.choices import Choice, ChoiceScores, RecognitionScores
from densevl.metrics.retrieval import RetrievalScores

__all__ = ["ChoiceMetric", "RecognitionMetric", "RetrievalMetric"]


@METRICS.register_module()
class RecognitionMetric(PerImageMetric):
    """mAcc and top-1 of names; see :class:`RecognitionScores`."""

    def measure(self, sample: Mapping[str, Any]) -> list[Choice]:
        """The answers of an image."""
        return sample["answers"]

    def tell(self, sample: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The answers as JSON values."""
        return list(map(asdict, self.measure(sample)))

    def hear(self, told: list[dict[str, Any]]) -> list[Choice]:
        """The answers that were told."""
        return [Choice(**one) for one in told]

    def score(self, found: list[list[Choice]]) -> RecognitionScores:
        """The scores of all answers."""
        return RecognitionScores(list(chain(*found)), self.dataset_meta["classes"], self.dataset_meta.get("groups", {}))

    def figures(self, scores: RecognitionScores) -> dict[str, float]:
        """The figures that papers give."""
        return {"mAcc": scores.mean_accuracy, "top_1": scores.top_1}


@METRICS.register_module()
class ChoiceMetric(PerImageMetric):
    """Top-1 and mean rank of true captions against their negatives; see :class:`ChoiceScores`."""

    def measure(self, sample: Mapping[str, Any]) -> tuple[str, list[Choice]]:
        """The group of an image and its answers."""
        return sample["group"], sample["answers"]

    def tell(self, sample: Mapping[str, Any]) -> list[Any]:
        """The group and the answers as JSON values."""
        group, answers = self.measure(sample)
        return [group, list(map(asdict, answers))]

    def hear(self, told: list[Any]) -> tuple[str, list[Choice]]:
        """The group and the answers that were told."""
        group, answers = told
        return group, [Choice(**one) for one in answers]

    def score(self, found: list[tuple[str, list[Choice]]]) -> ChoiceScores:
        """The scores of all answers, by group."""
        grouped: dict[str, list[Choice]] = {}
        for group, answers in found:
            grouped.setdefault(group, []).extend(answers)
        return ChoiceScores(grouped)

    def figures(self, scores: ChoiceScores) -> dict[str, float]:
        """The figures of all groups together."""
        values = scores.as_dict()
        return {name: values[name] for name in ("top_1", "mean_rank")}


@METRICS.register_module()
class RetrievalMetric(PerImageMetric):
    """Recall of regions by texts and of texts by regions; see :class:`RetrievalScores`."""

    def measure(self, sample: Mapping[str, Any]) -> tuple[Tensor, list[int]]:
        """The cosines of an image's regions with all texts, and which text is that of each."""
        return sample["cosines"].float().cpu(), [region.truth for region in sample["regions"]]

    def tell(self, sample: Mapping[str, Any]) -> list[Any]:
        """The shape of the cosines, their bytes in base64, and which text is that of each region."""
        cosines, truths = self.measure(sample)
        content = cosines.contiguous().numpy().astype("<f4").tobytes()
        return [list(cosines.shape), b64encode(content).decode("ascii"), truths]

    def hear(self, told: list[Any]) -> tuple[Tensor, list[int]]:
        """The cosines that were told."""
        shape, content, truths = told
        values = np.frombuffer(b64decode(content), "<f4").astype(np.float32).reshape(shape)
        return torch.from_numpy(values), truths

    def score(self, found: list[tuple[Tensor, list[int]]]) -> RetrievalScores:
        """The scores over the regions of all images."""
        truths = torch.tensor([truth for _, some in found for truth in some])
        return RetrievalScores(torch.cat([cosines for cosines, _ in found]), truths)

    def figures(self, scores: RetrievalScores) -> dict[str, float]:
        """The recalls."""
        return {name: value for name, value in scores.as_dict().items() if " R@" in name}
