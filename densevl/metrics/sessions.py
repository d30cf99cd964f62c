"""Figures of learning in sessions: what is right of the classes of each session, after each of them.

After session s a model answers with one of all classes of the sessions 1 … s. With a(j, s) the accuracy on the classes
of session j after session s, and n the number of sessions::

    new  = mean over s of a(s, s)
    drop = mean over s < n of a(s, s) − a(s, n)          sessions weighted by their examples

The drop also holds what comes of having more classes to choose from, which is the same for all that are compared.

Convention: figures are fractions, and nan where there is nothing to measure.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from math import nan
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor

from densevl.metrics.retrieval import retrieval_recalls
from densevl.metrics.table import or_none, percent

__all__ = ["Course", "SessionScores", "accuracies", "accuracy", "recalls"]

COLUMNS = ("old", "new", "never-seen", "image to text", "text to image")


def accuracy(logits: Float[Tensor, "n k"], labels: Int[Tensor, " n"]) -> float:
    """Fraction of examples whose class has the largest logit; nan where there is none."""
    return float((logits.argmax(1) == labels).double().mean()) if len(labels) else nan


def accuracies(
    logits: Float[Tensor, "n k"], labels: Int[Tensor, " n"], owners: Int[Tensor, " k"], sessions: int
) -> tuple[float, ...]:
    """The accuracy on the classes of each session, with all classes to choose from.

    Args:
        logits: of all classes so far.
        labels: class of each example.
        owners: session of each class, from 0.
        sessions: number of them.
    """
    of_session = [owners[labels] == session for session in range(sessions)]
    return tuple(accuracy(logits[chosen], labels[chosen]) for chosen in of_session)


def recalls(cosines: Float[Tensor, "n m"], truths: Int[Tensor, " n"]) -> tuple[float, float]:
    """Recall of the first answer, from images to texts and from texts to images; nan where there is no image.

    Args:
        cosines: of n images with m different texts.
        truths: text of each image.
    """
    if not len(cosines):
        return nan, nan
    found = retrieval_recalls(cosines, truths, (1,))
    return found["r2t R@1"] / 100, found["t2r R@1"] / 100


@dataclass(frozen=True)
class SessionScores:
    """Figures after a session.

    Attributes:
        each: accuracy on the classes of each session so far, among all classes so far.
        counts: held-out examples of each.
        never_seen: accuracy on the classes of no session, among these.
        image_to_text: recall of the first answer.
        text_to_image: recall of the first answer.
    """

    each: tuple[float, ...]
    counts: tuple[int, ...]
    never_seen: float = nan
    image_to_text: float = nan
    text_to_image: float = nan

    @property
    def new(self) -> float:
        """Accuracy on the classes of this session."""
        return self.each[-1]

    @property
    def old(self) -> float:
        """Accuracy on those of the sessions before; nan in the first."""
        return _mean(self.each[:-1], self.counts[:-1])

    @property
    def seen(self) -> float:
        """Accuracy on all classes so far."""
        return _mean(self.each, self.counts)

    @property
    def row(self) -> dict[str, float]:
        """The figures that are plotted, by name."""
        values = (self.old, self.new, self.never_seen, self.image_to_text, self.text_to_image)
        return dict(zip(COLUMNS, values, strict=True))

    def as_dict(self) -> dict[str, Any]:
        """Values for a JSON file; None for nan."""
        own = {one.name: getattr(self, one.name) for one in fields(self)}
        figures = {name: or_none(value) for name, value in own.items() if isinstance(value, float)}
        return {
            "each": [or_none(value) for value in self.each],
            "counts": list(self.counts),
            **figures,
            "old": or_none(self.old),
            "new": or_none(self.new),
            "seen": or_none(self.seen),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "SessionScores":
        """What :meth:`as_dict` gave."""
        figures = {name: _or_nan(values[name]) for name in ("never_seen", "image_to_text", "text_to_image")}
        return cls(tuple(map(_or_nan, values["each"])), tuple(values["counts"]), **figures)


@dataclass(frozen=True)
class Course:
    """Figures after each session, of one way to learn.

    Attributes:
        scores: after the first session, the second …
    """

    scores: Sequence[SessionScores]

    @property
    def new(self) -> float:
        """Mean accuracy on the classes of a session right after it."""
        last = self.scores[-1]
        return _mean([one.new for one in self.scores], last.counts)

    @property
    def drop(self) -> float:
        """By how much it falls until the end, over all sessions but the last; nan where there is one session."""
        last = self.scores[-1]
        lost = [one.new - end for one, end in zip(self.scores[:-1], last.each, strict=False)]
        return _mean(lost, last.counts[: len(lost)])

    def as_dict(self) -> dict[str, Any]:
        """Values for a JSON file; None for nan."""
        return {
            "new": or_none(self.new),
            "drop": or_none(self.drop),
            "sessions": [one.as_dict() for one in self.scores],
        }

    def lines(self, name: str) -> list[str]:
        """A row a session, in percent."""
        head = f"{name:28}" + "".join(f"{column:>15}" for column in COLUMNS)
        rows = [
            f"  {f'after session {number}':26}" + "".join(f"{_percent(value):>15}" for value in one.row.values())
            for number, one in enumerate(self.scores, 1)
        ]
        return [head, *rows, f"  new {_percent(self.new).strip()}, of which {_percent(self.drop).strip()} are lost"]


def _mean(values: Sequence[float], counts: Sequence[int]) -> float:
    """Mean weighted by counts, without what could not be measured."""
    pairs = [(value, count) for value, count in zip(values, counts, strict=True) if count and value == value]
    total = sum(count for _, count in pairs)
    return sum(value * count for value, count in pairs) / total if total else nan


def _percent(value: float) -> str:
    return percent(100 * value)


def _or_nan(value: Any) -> float:
    return nan if value is None else float(value)
