"""What a learner is asked after each session: classes of every session so far, classes of none, and captions."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from densevl.core.vocabulary import normalised
from densevl.metrics.sessions import SessionScores, accuracies, accuracy, recalls
from densevl.training.tuning.continual.learners import Learner
from densevl.training.tuning.contracts import Looks
from densevl.training.tuning.looks import Shown

__all__ = ["Exam", "Paper"]


@dataclass(frozen=True)
class Exam:
    """Held-out examples.

    Attributes:
        shown: all of them, image by image.
        names: class of each.
        captions: what is said of each; empty for nothing.
        sessions: the classes of each session.
    """

    shown: Sequence[Shown]
    names: Sequence[str]
    captions: Sequence[str]
    sessions: Sequence[Sequence[str]]

    def paper(self, learner: Learner) -> "Paper":
        """The examples as a learner looks at them."""
        return Paper(self, learner, learner.looks(self.shown))

    @property
    def never_seen(self) -> tuple[str, ...]:
        """The classes that no session brings."""
        taught = {normalised(name) for group in self.sessions for name in group}
        found = {normalised(name): name for name in reversed(self.names) if normalised(name) not in taught}
        return tuple(sorted(found.values()))

    def texts(self) -> dict[int, str]:
        """The texts that images look for, by example: captions, or names where no example has one."""
        said = {number: text for number, text in enumerate(self.captions) if text}
        return said or dict(enumerate(self.names))


@dataclass(frozen=True)
class Paper:
    """Held-out examples as one learner looks at them.

    Attributes:
        exam: the examples.
        learner: who is asked.
        looks: how it looks at them.
    """

    exam: Exam
    learner: Learner
    looks: Looks

    def scores(self, session: int) -> SessionScores:
        """What is right after a session.

        Args:
            session: its number, from 0.
        """
        exam, learner = self.exam, self.learner
        vectors = learner.vectors(self.looks)
        groups = exam.sessions[: session + 1]
        names = [name for group in groups for name in group]
        owners = torch.tensor([number for number, group in enumerate(groups) for _ in group])
        labels = _labels(exam.names, names)
        known = labels >= 0
        logits = learner.logits(vectors[known], names) if known.any() else torch.zeros(0, len(names))
        each = accuracies(logits, labels[known], owners, len(groups))
        counts = tuple(int((owners[labels[known]] == number).sum()) for number in range(len(groups)))
        never = _labels(exam.names, exam.never_seen)
        strange = never >= 0
        unseen = float("nan")
        if strange.any():
            unseen = accuracy(learner.logits(vectors[strange], exam.never_seen), never[strange])
        return SessionScores(each, counts, unseen, *self._recalls(vectors))

    def _recalls(self, vectors: Tensor) -> tuple[float, float]:
        said = self.exam.texts()
        texts = list(dict.fromkeys(said.values()))
        truths = torch.tensor([texts.index(text) for text in said.values()])
        return recalls(vectors[list(said)] @ self.learner.embed_texts(texts).float().cpu().mT, truths)


def _labels(found: Sequence[str], names: Sequence[str]) -> Int[Tensor, " n"]:
    """Place of each name among others; −1 where it is none of them."""
    places = {normalised(name): place for place, name in enumerate(names)}
    return torch.tensor([places.get(normalised(name), -1) for name in found], dtype=torch.long)
