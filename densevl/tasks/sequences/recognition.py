"""Sequences with the names of taught classes."""

from dataclasses import dataclass

from jaxtyping import Float32
from torch import Tensor

from densevl.core.vocabulary import Vocabulary
from densevl.tasks.answered import Answered

__all__ = ["SequenceRecognition"]


@dataclass(frozen=True, eq=False)
class SequenceRecognition(Answered):
    """What each of several sequences is taken for.

    Attributes:
        vocabulary: the classes.
        probabilities: of each class.
    """

    vocabulary: Vocabulary
    probabilities: Float32[Tensor, "n k"]
