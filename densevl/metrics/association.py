"""Figures of attributes that swap owners: whether a thing is given what belongs to another thing of its image.

Source: Yamada, Tang and Yildirim, When are Lemons Purple? The Concept Association Bias of Vision-Language Models, EMNLP
2023, who ask for the colour of one of two things. Each question has options of three kinds: the attribute of the thing
itself (*own*), an attribute of another thing of the image (*other*), and attributes that nothing there has (*rest*).
Beside their shares of the answers, the *bias* takes away what a model that merely errs would do: it is the share of an
*other* option minus the mean share of a *rest* option. It is 0 where wrong answers do not care what else is in the
image, and 1 where each answer is the attribute of the other thing.

Ours: with several options of a kind, or another number of them in each question, a share is divided by their number,
question by question.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from densevl.core.errors import UsageError
from densevl.metrics.table import or_none

__all__ = ["NONE", "OTHER", "OWN", "REST", "AssociationScores"]

NONE, OWN, OTHER, REST = -1, 0, 1, 2
"""Kinds of an option: not offered, of the thing itself, of another thing of the image, of nothing in the image."""


@dataclass(frozen=True, eq=False)
class AssociationScores:
    """Answers to questions for an attribute.

    Attributes:
        answers: index of the option that was chosen, for each question.
        kinds: of each option of each question: :data:`OWN`, :data:`OTHER`, :data:`REST` or :data:`NONE`.

    Raises:
        UsageError: where there is no question, or an answer is an option that was not offered.
    """

    answers: Int[np.ndarray, " n"]
    kinds: Int[np.ndarray, "n k"]

    def __post_init__(self) -> None:
        if not len(self.answers):
            raise UsageError("association: there is no question to answer")
        if (self._chosen == NONE).any():
            raise UsageError("association: an answer is an option that its question does not offer")

    @cached_property
    def _chosen(self) -> Int[np.ndarray, " n"]:
        return self.kinds[np.arange(len(self.answers)), self.answers]

    @property
    def right(self) -> float:
        """Share of the answers that are the attribute of the thing itself."""
        return float((self._chosen == OWN).mean())

    @property
    def other(self) -> float:
        """Share of the answers that are an attribute of another thing of the image."""
        return float((self._chosen == OTHER).mean())

    @property
    def neither(self) -> float:
        """Share of the answers that are an attribute of nothing in the image."""
        return float((self._chosen == REST).mean())

    @cached_property
    def comparable(self) -> Bool[np.ndarray, " n"]:
        """True for the questions that offer both an *other* and a *rest* option, which alone can show a bias."""
        return (self.kinds == OTHER).any(1) & (self.kinds == REST).any(1)

    @cached_property
    def _differences(self) -> Float[np.ndarray, " m"]:
        """For each comparable question, the share of an *other* option minus that of a *rest* option."""
        kinds, chosen = self.kinds[self.comparable], self._chosen[self.comparable]
        others, rests = ((kinds == kind).sum(1) for kind in (OTHER, REST))
        return (chosen == OTHER) / others - (chosen == REST) / rests

    @property
    def bias(self) -> float:
        """Share of an *other* option minus the mean share of a *rest* option; nan where no question is comparable."""
        return float(self._differences.mean()) if len(self._differences) else float("nan")

    @property
    def error(self) -> float:
        """Standard error of the bias; nan with fewer than two comparable questions."""
        found = self._differences
        return float(found.std(ddof=1) / math.sqrt(len(found))) if len(found) > 1 else float("nan")

    def as_dict(self) -> dict[str, Any]:
        """Values for a JSON file, shares as fractions."""
        return {
            "questions": len(self.answers),
            "comparable": int(self.comparable.sum()),
            "right": self.right,
            "other": self.other,
            "neither": self.neither,
            "bias": or_none(self.bias),
            "bias_error": or_none(self.error),
        }
