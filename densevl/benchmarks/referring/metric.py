"""The metric of referring expressions: the outcome of each of them, gathered over all processes."""

from collections.abc import Mapping
from dataclasses import asdict
from itertools import chain
from typing import Any

import numpy as np
from jaxtyping import Bool
from mmengine.registry import METRICS

from densevl.benchmarks.per_image import PerImageMetric
from densevl.core.errors import UsageError, suggestion
from densevl.core.masks import decode_masks
from densevl.datasets.referring.annotations import Reference
from densevl.metrics.overlaps import Outcome, measure
from densevl.metrics.referring import RULES, ReferringScores

__all__ = ["ReferringMetric"]


@METRICS.register_module()
class ReferringMetric(PerImageMetric):
    """Accuracy of boxes and masks over expressions; see :mod:`densevl.metrics.referring`.

    Args:
        rule: ``">"`` calls a box right whose overlap is above the threshold, ``">="`` from the threshold on.
    """

    scores: ReferringScores | None

    def __init__(self, rule: str = ">", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if rule not in RULES:
            raise UsageError(f"the rule {rule!r} is unknown; {suggestion(rule, RULES)}")
        self.rule = rule

    def measure(self, sample: Mapping[str, Any]) -> list[Outcome]:
        """The outcome of each expression of an image."""
        truths = [(ref, _mask(ref) if sample["masks"] else None) for ref in sample["refs"]]
        expected = [truth for truth in truths for _ in truth[0].sentences]
        pairs = zip(sample["answers"], expected, strict=True)
        return [measure(answer, ref.box, mask, ref.kind) for answer, (ref, mask) in pairs]

    def tell(self, sample: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The outcomes as JSON values."""
        return list(map(asdict, self.measure(sample)))

    def hear(self, told: list[dict[str, Any]]) -> list[Outcome]:
        """The outcomes that were told."""
        pairs = [(one, one["overlap"]) for one in told]
        return [
            Outcome(**{**one, "ranked": tuple(one["ranked"]), "overlap": both and (both[0], both[1])})
            for one, both in pairs
        ]

    def weigh(self, sample: Mapping[str, Any]) -> int:
        """Number of expressions of an image."""
        return sum(len(ref.sentences) for ref in sample["refs"])

    def score(self, found: list[list[Outcome]]) -> ReferringScores:
        """The scores of all expressions.

        Raises:
            UsageError: where none of them could be answered.
        """
        answers = list(chain(*found))
        if all(outcome.reason for outcome in answers):
            raise UsageError(f"none of the {len(answers)} expressions could be answered: {answers[0].reason}")
        return ReferringScores(answers, self.rule, sum(self.lost))

    def figures(self, scores: ReferringScores) -> dict[str, float]:
        """The figure that papers give."""
        return {"Acc@0.5": scores.accuracy()}


def _mask(ref: Reference) -> Bool[np.ndarray, "H W"] | None:
    if ref.mask is None:
        return None
    height, width = ref.mask["size"]
    return decode_masks([ref.mask], (height, width))[0].numpy()
