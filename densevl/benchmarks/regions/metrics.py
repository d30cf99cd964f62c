"""The metrics of recognition and of choosing captions."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmengine.registry import METRICS

from densevl.benchmarks.gathering import check_each_once, gathered
from densevl.benchmarks.parts import Scores
from densevl.benchmarks.regions.answers import Answer, ChoiceScores, RecognitionScores
from densevl.errors import UsageError

__all__ = ["ChoiceMetric", "RecognitionMetric"]


class _AnswersMetric(BaseMetric):
    """What both metrics share: the answers of all images, each counted once.

    Attributes:
        scores: of the last evaluation.
        failures: path and reason of every image of the last evaluation that could not be used.
    """

    default_prefix = "scores"  # or MMEngine warns; evaluate() below does not use it

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scores: Scores | None = None
        self.failures: list[tuple[str, str]] = []
        self._answers: list[tuple[int, str, list[Answer]]] = []
        self._failed: list[tuple[int, str, str]] = []

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Keep the answers of a batch."""
        for sample in data_samples:
            if "failure" in sample:
                self._failed.append((sample["sample_idx"], str(sample["img_path"]), sample["failure"]))
            else:
                self._answers.append((sample["sample_idx"], sample["group"], sample["answers"]))

    def evaluate(self, size: int) -> dict[str, float]:
        """Scores of all processes together.

        Args:
            size: number of images of the data set.

        Raises:
            UsageError: where an image was counted twice or not at all, or none could be used.
        """
        answers, failed = sorted(gathered(self._answers), key=lambda entry: entry[0]), sorted(gathered(self._failed))
        self._answers, self._failed = [], []
        check_each_once([entry[0] for entry in (*answers, *failed)], size)
        self.failures = [(path, reason) for _, path, reason in failed]
        if not answers:
            path, reason = self.failures[0]
            raise UsageError(f"none of the {size} images could be used; the first one, {path}: {reason}")
        for path, reason in self.failures:
            print_log(f"left out {path}: {reason}", logger="current", level=logging.ERROR)
        grouped: dict[str, list[Answer]] = {}
        for _, group, found in answers:
            grouped.setdefault(group, []).extend(found)
        self.scores = self._score(grouped)
        figures = self.scores.as_dict()
        return {name: round(figures[name], 2) for name in ("mAcc", "top_1", "mean_rank") if name in figures}

    def _score(self, answers: Mapping[str, list[Answer]]) -> Scores:
        raise NotImplementedError

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        """MMEngine's interface for results an image; :meth:`evaluate` does not use it."""
        raise NotImplementedError(f"{type(self).__name__} keeps no results an image")


@METRICS.register_module()
class RecognitionMetric(_AnswersMetric):
    """mAcc and top-1 of names; see :class:`RecognitionScores`."""

    def _score(self, answers: Mapping[str, list[Answer]]) -> Scores:
        everything = [answer for group in answers.values() for answer in group]
        return RecognitionScores(everything, self.dataset_meta["classes"], self.dataset_meta.get("groups", {}))


@METRICS.register_module()
class ChoiceMetric(_AnswersMetric):
    """Top-1 and mean rank of true captions against their negatives; see :class:`ChoiceScores`."""

    def _score(self, answers: Mapping[str, list[Answer]]) -> Scores:
        return ChoiceScores(answers)
