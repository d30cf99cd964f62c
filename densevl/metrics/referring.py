"""Scores of referring expressions, from the outcome of each of them.

Boxes: accuracy at an overlap (Acc@0.5, the usual one; 0.75; 0.9; the mean over 0.5 to 0.95), precision at k (is one of
the first k boxes right), recall of the proposals (is any of them). Masks: mIoU, the mean over expressions; oIoU, also
called cIoU, all intersections over all unions; and the fraction of expressions above each overlap. An empty union
counts as 0. An expression without an answer counts as wrong.

FGVP and ReCLIP call a box right above 0.5, others from 0.5 on: the rule is an argument, and what the other one would
give is kept beside it.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from densevl.core.errors import UsageError, suggestion
from densevl.metrics.overlaps import DEEPEST, Outcome

__all__ = ["RULES", "ReferringScores"]

RULES: dict[str, Callable[[Any, float], Any]] = {">": np.greater, ">=": np.greater_equal}
"""Comparisons of an overlap with the threshold that makes it enough."""
OVERLAPS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
RANKS = (1, 5, 10)
SHOWN = (0.5, 0.75, 0.9)
MASK_OVERLAPS = (0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class ReferringScores:
    """Scores in percent.

    Attributes:
        outcomes: of every expression.
        rule: ``">"`` or ``">="``.
        left_out: number of expressions whose image could not be used.
    """

    outcomes: Sequence[Outcome]
    rule: str = ">"
    left_out: int = 0

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise UsageError(f"the rule {self.rule!r} is unknown; {suggestion(self.rule, RULES)}")

    def accuracy(self, overlap: float = 0.5, rule: str | None = None) -> float:
        """Fraction of expressions whose first box overlaps enough."""
        return _percent(RULES[rule or self.rule](self._ious(1).max(1), overlap))

    def precision_at(self, rank: int, overlap: float = 0.5) -> float:
        """Fraction of expressions where one of the first boxes overlaps enough."""
        if not 1 <= rank <= DEEPEST:
            raise UsageError(f"the first 1 to {DEEPEST} boxes are known; got {rank}")
        return _percent(RULES[self.rule](self._ious(rank).max(1), overlap))

    def recall(self, overlap: float = 0.5) -> float:
        """Fraction of expressions where any of the boxes to choose from overlaps enough."""
        return _percent(RULES[self.rule](np.array([outcome.best for outcome in self.outcomes]), overlap))

    @property
    def mean_accuracy(self) -> float:
        """Mean of the accuracies at 0.5, 0.55, … 0.95."""
        return float(np.mean([self.accuracy(overlap) for overlap in OVERLAPS]))

    @property
    def chance(self) -> float:
        """Accuracy at 0.5 that choosing a box blindly would have."""
        return _percent([o.above if self.rule == ">" else o.at_least for o in self.outcomes])

    def mask_scores(self) -> dict[str, float]:
        """mIoU, oIoU and the fractions above each overlap; nothing where masks are not known."""
        pairs = np.array([o.overlap for o in self.outcomes if o.overlap is not None], np.float64).reshape(-1, 2)
        if not len(pairs):
            return {}
        shared, union = pairs.T
        ious = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
        total = 100 * shared.sum() / union.sum() if union.sum() else 0.0
        above = {f"mask P@{overlap}": _percent(RULES[self.rule](ious, overlap)) for overlap in MASK_OVERLAPS}
        return {"mIoU": _percent(ious), "oIoU": float(total), **above}

    def kinds(self) -> "dict[str, ReferringScores]":
        """The scores of each kind of expression, where there are kinds."""
        names = dict.fromkeys(outcome.kind for outcome in self.outcomes if outcome.kind)
        return {name: ReferringScores([o for o in self.outcomes if o.kind == name], self.rule) for name in names}

    @property
    def unanswered(self) -> dict[str, int]:
        """Number of expressions that count as wrong for want of an answer, by reason."""
        return dict(Counter(outcome.reason for outcome in self.outcomes if outcome.reason))

    def as_dict(self) -> dict[str, Any]:
        """Values for a JSON file."""
        other = next(rule for rule in RULES if rule != self.rule)
        return {
            "rule": f"IoU {self.rule} threshold",
            "expressions": len(self.outcomes),
            "left_out": self.left_out,
            "unanswered": self.unanswered,
            "proposals_per_expression": float(np.mean([outcome.proposals for outcome in self.outcomes])),
            "chance": self.chance,
            **{f"Acc@{overlap}": self.accuracy(overlap) for overlap in SHOWN},
            "Acc@.5:.95": self.mean_accuracy,
            f"Acc@0.5 with {other}": self.accuracy(0.5, other),
            **{f"P@{rank}": self.precision_at(rank) for rank in RANKS},
            **{f"proposal recall@{overlap}": self.recall(overlap) for overlap in SHOWN},
            **self.mask_scores(),
            "kinds": {
                name: {"expressions": len(kind.outcomes), "Acc@0.5": kind.accuracy(), "chance": kind.chance}
                for name, kind in self.kinds().items()
            },
        }

    def lines(self) -> list[str]:
        """The figures as text, accuracy last."""
        values, other = self.as_dict(), next(rule for rule in RULES if rule != self.rule)
        rows = [
            f"{name:<12}  Acc@0.5 {kind.accuracy():6.2f}  chance {kind.chance:6.2f}  {len(kind.outcomes)} expressions"
            for name, kind in self.kinds().items()
        ]
        groups = (
            [f"Acc@{overlap}" for overlap in SHOWN[1:]] + ["Acc@.5:.95"],
            [f"P@{rank}" for rank in RANKS],
            [f"proposal recall@{overlap}" for overlap in SHOWN],
            list(self.mask_scores()),
        )
        rows += ["  ".join(f"{name} {values[name]:.2f}" for name in group) for group in groups if group]
        rows += [f"no answer, counted as wrong: {count} ({reason})" for reason, count in self.unanswered.items()]
        rows += [f"left out, their image cannot be used: {self.left_out} expressions"] if self.left_out else []
        note = f"{len(self.outcomes)} expressions, {values['proposals_per_expression']:.1f} boxes each"
        return [
            *rows,
            f"Acc@0.5 {self.accuracy():.2f}  (right: IoU {self.rule} 0.5, with {other} it is "
            f"{self.accuracy(0.5, other):.2f}; chance {self.chance:.2f}; {note})",
        ]

    def _ious(self, rank: int) -> Float[np.ndarray, "e k"]:
        """Overlaps of the first boxes of each expression; 0 where there are fewer."""
        table = np.zeros((len(self.outcomes), rank))
        for row, outcome in zip(table, self.outcomes, strict=True):
            row[: len(outcome.ranked)] = outcome.ranked[:rank]
        return table


def _percent(values: Any) -> float:
    return float(100 * np.mean(values))
