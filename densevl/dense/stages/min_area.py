"""A class that covers little of an image is dropped.

Source: SCLIP (Wang et al., ECCV 2024, https://arxiv.org/abs/2312.01597; reference code wangf3014/SCLIP at commit
b56bd30), which sets its least area to 0.1 on Pascal VOC with background. A class whose labels cover a smaller share of
what is not background has probability 0 at every pixel; the background class is never dropped.

Where we differ: where no class is large enough and there is no background class, nothing is dropped.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.dense.contracts import named
from densevl.encoders.contracts import Needs

__all__ = ["MinArea"]


@dataclass(frozen=True)
class MinArea:
    """The least area of a class as a stage of a segmentor; see above.

    Attributes:
        area: share of the pixels that are not background, in [0, 1], that a class must exceed.
    """

    area: float = 0.1

    on_pixels = True
    acts_on = "probabilities"
    class_by_class = False
    needs = Needs(texts=True)

    def __post_init__(self) -> None:
        if not 0 <= self.area <= 1:
            raise UsageError(f"the least area of a class is a share of the image between 0 and 1; got {self.area}")

    @property
    def name(self) -> str:
        """Its kind and settings."""
        return named("min-area", self)

    def __call__(
        self, probabilities: Float[Tensor, "k H W"], image: Float[Tensor, "3 H W"], texts: TextEmbeddings
    ) -> Float[Tensor, "k H W"]:
        """Drop small classes.

        Args:
            probabilities: of each class.
            image: of the same size; it is not looked at.
            texts: the vocabulary, whose background class is kept.
        """
        counts = torch.bincount(probabilities.argmax(dim=0).flatten(), minlength=len(probabilities))
        background = texts.vocabulary.background
        if background is not None:
            counts[background] = 0
        kept = counts > self.area * counts.sum()
        if background is not None:
            kept[background] = True
        kept |= ~kept.any()
        return probabilities * kept[:, None, None]
