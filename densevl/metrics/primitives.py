"""Figures of what a probe says is in an image: of any of several classes at once, and of one number among several."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

__all__ = ["Figures", "figures_of_any", "figures_of_one"]


@dataclass(frozen=True)
class Figures:
    """Figures of answers.

    Attributes:
        score: the figure of most weight: mean average precision, or accuracy.
        name: of that figure.
        further: other figures by name; None where one is undefined.
        answers: number of answers that were judged.
    """

    score: float
    name: str
    further: dict[str, float | None]
    answers: int

    def as_dict(self) -> dict[str, float | int | None]:
        """Values for a JSON file."""
        return {self.name: self.score, **self.further, "answers": self.answers}


def figures_of_any(logits: Float[np.ndarray, "n k"], truth: Bool[np.ndarray, "n k"]) -> Figures:
    """Mean average precision of the classes that occur, and F1 of all answers together at a probability of 0.5.

    Answers that are all alike have the average precision of chance, the share of what is true.

    Args:
        logits: of each class.
        truth: whether each is there.
    """
    from sklearn.metrics import average_precision_score

    there = truth.any(0)
    said = logits > 0
    both, either = int((said & truth).sum()), int(said.sum() + truth.sum())
    precision = 0.0
    if there.any():
        precision = float(average_precision_score(truth[:, there], logits[:, there], average="macro"))
    return Figures(precision, "mAP", {"F1": 2 * both / either if either else None}, truth.size)


def figures_of_one(answers: Int[np.ndarray, " n"], truth: Int[np.ndarray, " n"]) -> Figures:
    """Accuracy, and the mean distance of answers from the truth.

    Args:
        answers: numbers that were given.
        truth: right ones.
    """
    distance = np.abs(answers - truth)
    return Figures(float((distance == 0).mean()), "accuracy", {"mean distance": float(distance.mean())}, truth.size)
