"""CoOp: learnt vectors in place of the words around a class name.

Source: Zhou et al., Learning to Prompt for Vision-Language Models, IJCV 2022, https://arxiv.org/abs/2109.01134; as
released in muzairkhattak/multimodal-prompt-learning at commit 69bce21 (MIT). A class is embedded as
``start, v_1 … v_m, NAME, ".", end`` with learnt v, shared by all classes or of each by itself; they begin as the words
of a text, or are drawn from N(0, 0.02²).

Where we differ: whatever follows the longest name is not computed, which changes nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from densevl.core.errors import UsageError, shortened
from densevl.encoders.clip import CLIPEncoder
from densevl.encoders.tuning.beside import BesideWeights
from densevl.encoders.tuning.contracts import Look
from densevl.encoders.tuning.learnt_tokens import LearntTokens, drawn
from densevl.encoders.tuning.prompted_texts import PromptedTexts, causal, opening

__all__ = ["Context", "first_tokens"]

COUNT = 16
"""Learnt tokens where they are drawn and no number is given, as published."""


class Context(BesideWeights):
    """Learnt tokens around class names.

    Args:
        encoder: its text tower is causal, as that of CLIP.
        words: what the tokens begin as; empty to draw them.
        count: number of tokens; None for those of the words, or 16 where they are drawn. Words beyond them stay.
        place: where the name stands among them: at the ``"end"``, in the ``"middle"``, or at the ``"front"``.
        ending: what follows the name.
        names: classes of which each learns tokens of its own; None for tokens that all share, and new names too.

    Attributes:
        vectors: the learnt tokens, "m c" or "k m c".

    Raises:
        UsageError: where the encoder has a text tower of another kind, or a setting cannot be used.
    """

    towers: tuple[str, ...] = ("text",)
    conditional, reads_states = False, False

    def __init__(
        self,
        encoder: CLIPEncoder,
        words: str = "",
        count: int | None = None,
        place: str = "end",
        ending: str = ".",
        names: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        self.words, self.count, self.place, self.ending = words, count, place, ending
        self.names = None if names is None else tuple(names)
        first, rest = first_tokens(encoder, words, count)
        if self.names is not None:
            if not self.names or len({*self.names}) < len(self.names):
                raise UsageError(f"context: names are those of at least one class, each once; got {list(self.names)}")
            alike = first.expand(len(self.names), -1, -1).clone()
            first = alike if words else drawn(*alike.shape).to(alike)
        self.vectors = nn.Parameter(first)
        self.texts = PromptedTexts(encoder.text, LearntTokens(self.learnt, first.shape[-2]), rest, ending, place)

    @property
    def settings(self) -> Mapping[str, Any]:
        """Every setting."""
        names = None if self.names is None else list(self.names)
        return {
            "words": self.words,
            "count": self.count,
            "place": self.place,
            "ending": self.ending,
            "names": names,
        }

    def learnt(self, place: int) -> Float[Tensor, "*k m c"]:
        """The learnt tokens of a block; bound, so that a copy of the encoder has those of the copy."""
        return self.vectors

    def class_vectors(self, names: Sequence[str], look: Look | None = None) -> Float32[Tensor, "k d"]:
        """Unit vectors of classes.

        Args:
            names: of the classes, new ones too where the tokens are shared.
            look: not looked at.

        Raises:
            UsageError: where there is no name, one is too long, or it has no tokens of its own.
        """
        if self.names is None:
            return self.texts.units(names)
        unknown = [name for name in names if name not in self.names]
        if unknown:
            raise UsageError(
                f"no context was learnt for {shortened(', '.join(unknown))}, since each class has its own; tune with "
                "tokens that all classes share, by names=null"
            )
        rows = torch.tensor([self.names.index(name) for name in names], device=self.vectors.device)
        return self.texts.units(names, self.vectors[rows])

    def attach(self, encoder: CLIPEncoder) -> None:
        """Embed every text among the learnt tokens, which take the place of any template.

        Where each class has tokens of its own, free texts stay as they were: there are none for them.
        """
        if self.names is None:
            encoder.text, encoder.text_cache = self.texts, None


def first_tokens(encoder: CLIPEncoder, words: str, count: int | None) -> tuple[Float[Tensor, "m c"], str]:
    """Learnt tokens as learning begins with them, and the words that stay.

    Args:
        encoder: whose text tower they are for.
        words: what the tokens begin as; empty to draw them.
        count: number of tokens; None for those of the words, or 16 where they are drawn.

    Raises:
        UsageError: where there are fewer than one, or the words do not have them.
    """
    tower = causal(encoder.text)
    if count is not None and count < 1:
        raise UsageError(f"count={count}: learn at least one token")
    if words:
        return opening(tower, words, count)
    width = tower.tower.token_embedding.weight.shape[1]
    return drawn(COUNT if count is None else count, width).to(tower.device), ""
