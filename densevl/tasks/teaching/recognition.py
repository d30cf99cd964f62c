"""Regions with the names of taught classes."""

from dataclasses import dataclass

from jaxtyping import Float32
from torch import Tensor

from densevl.core.regions import Regions
from densevl.core.vocabulary import Vocabulary
from densevl.tasks.answered import Answered

__all__ = ["Recognition"]


@dataclass(frozen=True, eq=False)
class Recognition(Answered):
    """What each region of an image is taken for.

    Attributes:
        regions: of the image.
        vocabulary: the classes.
        probabilities: of each class.
    """

    regions: Regions
    vocabulary: Vocabulary
    probabilities: Float32[Tensor, "n k"]
