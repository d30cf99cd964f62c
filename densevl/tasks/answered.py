"""Answers by taught classes: of each thing that was asked about, the most probable class."""

from jaxtyping import Float32
from torch import Tensor

from densevl.core.vocabulary import Vocabulary

__all__ = ["Answered"]


class Answered:
    """What each of several things is taken for.

    Attributes:
        vocabulary: the classes.
        probabilities: of each class.
    """

    vocabulary: Vocabulary
    probabilities: Float32[Tensor, "n k"]

    def __len__(self) -> int:
        return len(self.probabilities)

    @property
    def names(self) -> tuple[str, ...]:
        """The most probable class of each."""
        return tuple(self.vocabulary.names[label] for label in self.probabilities.argmax(1).tolist())

    @property
    def confidences(self) -> tuple[float, ...]:
        """The probability of that class."""
        return tuple(self.probabilities.max(1).values.tolist()) if len(self) else ()
