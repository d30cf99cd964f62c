"""Visual tokens: learnt tokens behind the class token of the image tower.

Sources: Jia et al., Visual Prompt Tuning, ECCV 2022, https://arxiv.org/abs/2203.12119, its shallow variant; as NoLA has
them (Imam et al., CLIP meets DINO for Tuning Zero-Shot Classifier using Unlabeled Image Collections, 2024,
https://arxiv.org/abs/2411.19346), 16 of them. Where we differ: they are drawn from N(0, 0.02²).
"""

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from densevl.core.errors import UsageError
from densevl.encoders.clip import CLIPEncoder
from densevl.encoders.tuning.beside import BesideWeights
from densevl.encoders.tuning.learnt_tokens import LearntTokens, drawn
from densevl.encoders.tuning.prompted_images import PromptedImages

__all__ = ["VisualTokens"]


class VisualTokens(BesideWeights):
    """Learnt tokens that enter the image tower with its own.

    Args:
        encoder: its image tower is a transformer that does not pool by attention.
        count: number of tokens.

    Attributes:
        vectors: the learnt tokens, "m c".

    Raises:
        UsageError: where the image tower is of another kind, or there are fewer than one token.
    """

    towers: tuple[str, ...] = ("image",)
    learnt_what = "a learnt token"

    def __init__(self, encoder: CLIPEncoder, count: int = 16) -> None:
        super().__init__()
        if count < 1:
            raise UsageError(f"count={count}: learn at least one token")
        self.count = count
        self.vectors = nn.Parameter(drawn(count, encoder.width).to(encoder.device))
        self.of_images = PromptedImages(encoder.image, LearntTokens(self.learnt, count))

    @property
    def settings(self) -> Mapping[str, Any]:
        """Every setting."""
        return {"count": self.count}

    def learnt(self, place: int) -> Float[Tensor, "m c"]:
        """The learnt tokens of a block; bound, so that a copy of the encoder has those of the copy."""
        return self.vectors

    def attach(self, encoder: CLIPEncoder) -> None:
        """Encode every image with the learnt tokens."""
        encoder.image = self.of_images
