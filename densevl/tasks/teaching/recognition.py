"""Regions with the names of taught classes."""

from dataclasses import dataclass

from jaxtyping import Float32
from torch import Tensor

from densevl.core.regions import Regions
from densevl.core.vocabulary import Vocabulary

__all__ = ["Recognition"]


@dataclass(frozen=True, eq=False)
class Recognition:
    """What each region of an image is taken for.

    Attributes:
        regions: of the image.
        vocabulary: the classes.
        probabilities: of each class.
    """

    regions: Regions
    vocabulary: Vocabulary
    probabilities: Float32[Tensor, "n k"]

    def __len__(self) -> int:
        return len(self.regions)

    @property
    def names(self) -> tuple[str, ...]:
        """The most probable class of each region."""
        return tuple(self.vocabulary.names[label] for label in self.probabilities.argmax(1).tolist())

    @property
    def confidences(self) -> tuple[float, ...]:
        """The probability of that class."""
        return tuple(self.probabilities.max(1).values.tolist()) if len(self) else ()
