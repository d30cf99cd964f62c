"""Choices of a text for each region, and the fraction of them that is right.

Convention: figures are in percent, ranks count from 1. A text that scores exactly as the true one is before it half the
times, so that a model that scores all alike gets the rank, and no better than the hits, of chance.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from densevl.metrics.table import mean_percent, or_none, percent

__all__ = ["Choice", "ChoiceScores", "RecognitionScores", "choose"]


@dataclass(frozen=True)
class Choice:
    """The choice for one region.

    Attributes:
        truth: index of the true text.
        given: index of the chosen one.
        rank: place of the true text among the choices, 1 for the best.
        choices: number of texts to choose from.
    """

    truth: int
    given: int
    rank: int | float
    choices: int

    @property
    def right(self) -> bool:
        """True where the true text, and no other, scored best."""
        return self.rank == 1


def choose(
    scores: Float[Tensor, "n q"], truths: Sequence[int], choices: Sequence[Sequence[int] | None] | None = None
) -> list[Choice]:
    """The best text of each region, and the rank of the true one.

    Args:
        scores: of each region with each text, the higher the better.
        truths: index of the true text of each region.
        choices: indices of the texts that each region chooses from, the true one among them; None for all, as an entry
            or for every region.
    """
    found = []
    for row, truth, some in zip(scores.cpu(), truths, choices or [None] * len(truths), strict=True):
        texts = torch.arange(len(row)) if some is None else torch.tensor(some)
        values, true = row[texts], row[truth]
        others = values[texts != truth]
        rank = 1 + int((others > true).sum()) + int((others == true).sum()) / 2
        found.append(Choice(truth, int(texts[values.argmax()]), rank, len(texts)))
    return found


@dataclass(frozen=True)
class RecognitionScores:
    """Regions given one of the same names.

    Attributes:
        answers: one a region.
        names: of the classes.
        groups: indices of the classes of named groups.
    """

    answers: Sequence[Choice]
    names: Sequence[str]
    groups: Mapping[str, Sequence[int]]

    @property
    def top_1(self) -> float:
        """Fraction of the regions that got their name."""
        return mean_percent([answer.right for answer in self.answers])

    @cached_property
    def regions(self) -> list[int]:
        """Number of regions of each class."""
        counts = Counter(answer.truth for answer in self.answers)
        return [counts[label] for label in range(len(self.names))]

    @cached_property
    def recall(self) -> list[float]:
        """Fraction of the regions of each class that got its name; nan where it has none."""
        right = Counter(answer.truth for answer in self.answers if answer.right)
        return [100 * right[label] / n if n else float("nan") for label, n in enumerate(self.regions)]

    @property
    def mean_accuracy(self) -> float:
        """Mean recall of the classes that occur: mAcc."""
        return self._mean(range(len(self.names)))

    @property
    def chance(self) -> float:
        """Figure of names drawn at random, in mAcc and in top-1."""
        return 100 / len(self.names)

    def _mean(self, labels: Sequence[int]) -> float:
        known = [self.recall[label] for label in labels if self.regions[label]]
        return sum(known) / len(known) if known else float("nan")

    def as_dict(self) -> dict[str, Any]:
        """Values for a JSON file."""
        classes = zip(self.names, self.recall, self.regions, strict=True)
        return {
            "mAcc": or_none(self.mean_accuracy),
            "top_1": or_none(self.top_1),
            "chance": self.chance,
            "regions": len(self.answers),
            "groups": {name: or_none(self._mean(labels)) for name, labels in self.groups.items()},
            "classes": [{"name": name, "recall": or_none(recall), "regions": n} for name, recall, n in classes],
        }

    def lines(self) -> list[str]:
        """Recall of each class that occurs, then the means."""
        width = max(5, *map(len, self.names))
        lines = [f"{'class':<{width}}  recall  regions"]
        for entry in self.as_dict()["classes"]:
            if entry["regions"]:
                lines.append(f"{entry['name']:<{width}}   {percent(entry['recall'])}  {entry['regions']:7d}")
        lines += ["", *(f"mAcc of {name}: {percent(self._mean(group)).strip()}" for name, group in self.groups.items())]
        seen = sum(map(bool, self.regions))
        return [
            *lines,
            f"mAcc {self.mean_accuracy:.2f}  top-1 {self.top_1:.2f}  chance {self.chance:.2f}  "
            f"({len(self.answers)} regions, {seen} of {len(self.names)} classes occur)",
        ]


@dataclass(frozen=True)
class ChoiceScores:
    """Regions given one of a few texts of their own.

    Attributes:
        answers: by the name of the group that they count in, such as a kind of hard negatives.
    """

    answers: Mapping[str, Sequence[Choice]]

    def rows(self) -> list[dict[str, Any]]:
        """Figures of each group and number of negatives, then of all together."""
        groups = [
            (name, choices, [a for a in group if a.choices == choices])
            for name, group in self.answers.items()
            for choices in sorted({a.choices for a in group})
        ]
        everything = [answer for group in self.answers.values() for answer in group]
        return [_row(name, choices - 1, found) for name, choices, found in groups] + [_row("all", None, everything)]

    def as_dict(self) -> dict[str, Any]:
        """Values for a JSON file."""
        return {"groups": self.rows()[:-1], **self.rows()[-1]}

    def lines(self) -> list[str]:
        """One line a group and number of negatives, all together last."""
        rows = self.rows()
        width = max(len(row["name"]) for row in rows)
        lines = [f"{'texts':<{width}}  negatives  regions  top-1  chance  mean rank  chance"]
        for row in rows:
            negatives = "any" if row["negatives"] is None else row["negatives"]
            lines.append(
                f"{row['name']:<{width}}  {negatives:>9}  {row['regions']:7d}  {row['top_1']:5.2f}  "
                f"{row['chance']:6.2f}  {row['mean_rank']:9.2f}  {row['mean_rank_by_chance']:6.2f}"
            )
        return lines


def _row(name: str, negatives: int | None, answers: Sequence[Choice]) -> dict[str, Any]:
    return {
        "name": name,
        "negatives": negatives,
        "regions": len(answers),
        "top_1": mean_percent([answer.right for answer in answers]),
        "chance": mean_percent([1 / answer.choices for answer in answers]),
        "mean_rank": mean_percent([answer.rank for answer in answers]) / 100,
        "mean_rank_by_chance": mean_percent([(answer.choices + 1) / 2 for answer in answers]) / 100,
    }
