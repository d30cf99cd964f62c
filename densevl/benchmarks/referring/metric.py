"""The metric of referring expressions: the outcome of each of them, gathered over all processes."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmengine.registry import METRICS

from densevl.benchmarks.gathering import check_each_once, gathered
from densevl.benchmarks.referring.measures import Outcome, measure
from densevl.benchmarks.referring.scores import RULES, ReferringScores
from densevl.errors import UsageError
from densevl.wording import suggestion

__all__ = ["ReferringMetric"]


@METRICS.register_module()
class ReferringMetric(BaseMetric):
    """Accuracy of boxes and masks over expressions; see :mod:`densevl.benchmarks.referring.scores`.

    Args:
        rule: ``">"`` calls a box right whose overlap is above the threshold, ``">="`` from the threshold on.

    Attributes:
        scores: of the last evaluation.
        failures: path and reason of every image of the last evaluation that could not be used.
    """

    default_prefix = "scores"  # or MMEngine warns; evaluate() below does not use it

    def __init__(self, rule: str = ">", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if rule not in RULES:
            raise UsageError(f"the rule {rule!r} is unknown; {suggestion(rule, RULES)}")
        self.rule = rule
        self.scores: ReferringScores | None = None
        self.failures: list[tuple[str, str]] = []
        self._reset()

    def _reset(self) -> None:
        self._outcomes: list[tuple[int, list[Outcome]]] = []
        self._failed: list[tuple[int, str, str, int]] = []

    def process(self, data_batch: Any, data_samples: Sequence[Mapping[str, Any]]) -> None:
        """Measure the answers of a batch."""
        for sample in data_samples:
            asked = [ref for ref in sample["refs"] for _ in ref.sentences]
            if "failure" in sample:
                self._failed.append((sample["sample_idx"], str(sample["img_path"]), sample["failure"], len(asked)))
                continue
            pairs = zip(sample["answers"], asked, strict=True)
            found = [measure(answer, ref, sample["masks"]) for answer, ref in pairs]
            self._outcomes.append((sample["sample_idx"], found))

    def evaluate(self, size: int) -> dict[str, float]:
        """Scores of all processes together.

        Args:
            size: number of images of the data set.

        Raises:
            UsageError: where an image was counted twice or not at all, or no expression could be answered.
        """
        outcomes = sorted(gathered(self._outcomes), key=lambda entry: entry[0])
        failed = sorted(gathered(self._failed))
        self._reset()
        check_each_once([index for index, *_ in outcomes] + [index for index, *_ in failed], size)
        self.failures = [(path, reason) for _, path, reason, _ in failed]
        if not outcomes:
            path, reason = self.failures[0]
            raise UsageError(f"none of the {size} images could be used; the first one, {path}: {reason}")
        answers = [outcome for _, found in outcomes for outcome in found]
        if all(outcome.reason for outcome in answers):
            raise UsageError(f"none of the {len(answers)} expressions could be answered: {answers[0].reason}")
        for path, reason in self.failures:
            print_log(f"left out {path}: {reason}", logger="current", level=logging.ERROR)
        self.scores = ReferringScores(answers, self.rule, sum(count for *_, count in failed))
        return {"Acc@0.5": round(self.scores.accuracy(), 2)}

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        """MMEngine's interface for results an image; :meth:`evaluate` does not use it."""
        raise NotImplementedError("ReferringMetric keeps no results an image")
