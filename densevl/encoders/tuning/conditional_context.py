"""CoCoOp: learnt vectors around a class name that depend on the image which it is compared with.

Source: Zhou et al., Conditional Prompt Learning for Vision-Language Models, CVPR 2022,
https://arxiv.org/abs/2203.05557; as released in muzairkhattak/multimodal-prompt-learning at commit 69bce21 (MIT).
Of the unit vector x of an image a small network makes one shift, which all tokens get: ``v_i(x) = v_i + h(x)`` with
``h(x) = W₂ relu(W₁ x + b₁) + b₂`` of d/16 hidden units. Each image takes a pass of the text tower for each class.

Where we differ: many images are taken at once.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from jaxtyping import Float, Float32
from torch import Tensor, nn

from densevl.core.errors import UsageError
from densevl.encoders.clip import CLIPEncoder
from densevl.encoders.tuning.beside import BesideWeights
from densevl.encoders.tuning.context import first_tokens
from densevl.encoders.tuning.contracts import Look
from densevl.encoders.tuning.learnt_tokens import LearntTokens
from densevl.encoders.tuning.prompted_texts import PromptedTexts

__all__ = ["ConditionalContext", "Shift"]


class Shift(nn.Module):
    """A network of one hidden layer from the vector of an image to the shift of its tokens.

    Args:
        dim: width of the vectors.
        width: of tokens of the text tower.
        reduction: the hidden layer is so many times narrower than the vectors.
    """

    def __init__(self, dim: int, width: int, reduction: int) -> None:
        super().__init__()
        if not 1 <= reduction <= dim:
            raise UsageError(f"conditional-context: reduction is 1 to {dim}, the width of the vectors; got {reduction}")
        self.linear1, self.linear2 = nn.Linear(dim, dim // reduction), nn.Linear(dim // reduction, width)

    def forward(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b c"]:
        """The shift of each image."""
        return self.linear2(F.relu(self.linear1(x)))


class ConditionalContext(BesideWeights):
    """Learnt tokens around class names, shifted by what each image shows.

    Args:
        encoder: its text tower is causal, as that of CLIP.
        words: what the tokens begin as; empty to draw them.
        count: number of tokens; None for those of the words, or 16 where they are drawn. Words beyond them stay.
        place: where the name stands among them: at the ``"end"``, in the ``"middle"``, or at the ``"front"``.
        ending: what follows the name.
        reduction: the hidden layer of the network is so many times narrower than the vectors of images.

    Attributes:
        vectors: the learnt tokens, "m c".
        shift: the network.

    Raises:
        UsageError: where the encoder has a text tower of another kind, or a setting cannot be used.
    """

    towers: tuple[str, ...] = ("text",)
    conditional, reads_states = True, False

    def __init__(
        self,
        encoder: CLIPEncoder,
        words: str = "a photo of a",
        count: int | None = None,
        place: str = "end",
        ending: str = ".",
        reduction: int = 16,
    ) -> None:
        super().__init__()
        self.words, self.count, self.place, self.ending = words, count, place, ending
        self.reduction = reduction
        first, rest = first_tokens(encoder, words, count)
        self.vectors = nn.Parameter(first)
        self.shift = Shift(encoder.dim, first.shape[1], reduction).to(first.device)
        self.texts = PromptedTexts(encoder.text, LearntTokens(self.learnt, len(first)), rest, ending, place)

    @property
    def settings(self) -> Mapping[str, Any]:
        """Every setting."""
        return {
            "words": self.words,
            "count": self.count,
            "place": self.place,
            "ending": self.ending,
            "reduction": self.reduction,
        }

    def learnt(self, place: int) -> Float[Tensor, "m c"]:
        """The learnt tokens of a block; bound, so that a copy of the encoder has those of the copy."""
        return self.vectors

    def class_vectors(self, names: Sequence[str], look: Look | None = None) -> Float32[Tensor, "b k d"]:
        """Unit vectors of classes, of each image by itself.

        Args:
            names: of the classes, new ones too.
            look: at the images.

        Raises:
            UsageError: where there is no name, one is too long, or there is no look.
        """
        if look is None:
            raise UsageError("conditional-context: class texts depend on images, and none is looked at")
        shift = self.shift(look.vectors.to(self.shift.linear1.weight.dtype))
        return self.texts.units_each(names, self.vectors + shift[:, None])
