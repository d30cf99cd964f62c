"""GOPro: learnt vectors before a class name that the style and the content of each image shift.

Source: Singha et al., GOPro: Generate and Optimize Prompts in CLIP using Self-Supervised Learning, BMVC 2023,
https://arxiv.org/abs/2308.11605; mainaksingha01/GOPro at commit e284586 (MIT). Of the tokens behind each block l of the
image tower, class token included, with mean μ_l and standard deviation σ_l over the tokens: style
``½ (S_l μ_l + S_l σ_l)`` and content ``C_l μ_l``, S_l and C_l linear with biases. The shift of an image is
``Σ over l of ρ_l ½ (style_l + content_l) + ρ_0``, and all tokens get the same one: ``v_i(x) = v_i + shift(x)``.

Where we differ: many images are taken at once. Vectors whose tokens nobody has, as those of dense features and of
regions pooled of them, get the mean of the shifts that learning saw.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from densevl.core.errors import UsageError
from densevl.encoders.clip import CLIPEncoder
from densevl.encoders.tuning.beside import BesideWeights
from densevl.encoders.tuning.context import first_tokens
from densevl.encoders.tuning.contracts import Look
from densevl.encoders.tuning.learnt_tokens import LearntTokens
from densevl.encoders.tuning.prompted_texts import PromptedTexts

__all__ = ["StyleContext", "StyleShift"]

MEMORY = 100
"""Steps of which the usual shift is about the mean."""


class StyleShift(nn.Module):
    """From the tokens behind each block, by their moments, to one shift of the learnt tokens of an image.

    Args:
        depth: blocks of the image tower.
        width: of its tokens.
        text_width: of tokens of the text tower.

    Attributes:
        style: of each block, from means and from deviations of tokens.
        content: of each block, from means of tokens.
        rho: factors of the blocks.
    """

    def __init__(self, depth: int, width: int, text_width: int) -> None:
        super().__init__()
        self.style = nn.ModuleList(nn.Linear(width, text_width) for _ in range(depth))
        self.content = nn.ModuleList(nn.Linear(width, text_width) for _ in range(depth))
        self.rho = nn.Linear(depth, 1)

    def forward(self, states: Float[Tensor, "b layers 2 c"]) -> Float[Tensor, "b w"]:
        """The shift of each image.

        Args:
            states: mean and standard deviation over the tokens behind each block.
        """
        layers = []
        for place, (style, content) in enumerate(zip(self.style, self.content, strict=True)):
            mean, deviation = states[:, place].unbind(1)
            layers.append(((style(mean) + style(deviation)) / 2 + content(mean)) / 2)
        return self.rho(torch.stack(layers, dim=-1))[..., 0]


class StyleContext(BesideWeights):
    """Learnt tokens before class names, shifted by the style and the content of each image.

    Args:
        encoder: its text tower is causal, as that of CLIP, and its image tower a transformer.
        words: what the tokens begin as; empty to draw them.
        count: number of tokens; None for those of the words, or 16 where they are drawn. Words beyond them stay.
        ending: what follows the name.

    Attributes:
        vectors: the learnt tokens, "m c".
        shift: of an image.
        usual: mean of the shifts that learning saw, in which later ones count more.

    Raises:
        UsageError: where the encoder has a text tower of another kind, or the words do not have so many tokens.
    """

    towers: tuple[str, ...] = ("text",)
    conditional, reads_states = True, True

    def __init__(
        self, encoder: CLIPEncoder, words: str = "a photo of a", count: int | None = None, ending: str = "."
    ) -> None:
        super().__init__()
        self.words, self.count, self.ending = words, count, ending
        first, rest = first_tokens(encoder, words, count)
        self.vectors = nn.Parameter(first)
        self.shift = StyleShift(encoder.depth, encoder.width, first.shape[1]).to(first.device)
        # Parameters, since a delta holds these alone; no gradient ever reaches them.
        self.usual, self.seen = nn.Parameter(torch.zeros_like(first[0])), nn.Parameter(first.new_zeros(()))
        self.texts = PromptedTexts(encoder.text, LearntTokens(self.learnt, len(first)), rest, ending)

    @property
    def settings(self) -> Mapping[str, Any]:
        """Every setting."""
        return {"words": self.words, "count": self.count, "ending": self.ending}

    def learnt(self, place: int) -> Float[Tensor, "m c"]:
        """The learnt tokens of a block; bound, so that a copy of the encoder has those of the copy."""
        return self.vectors

    def class_vectors(self, names: Sequence[str], look: Look | None = None) -> Float32[Tensor, "b k d"]:
        """Unit vectors of classes, of each image by itself.

        Args:
            names: of the classes, new ones too.
            look: at the images; where it has no tokens, all images have the usual shift.

        Raises:
            UsageError: where there is no name, one is too long, or there is no look.
        """
        if look is None:
            raise UsageError("style-context: class texts depend on images, and none is looked at")
        if look.states is None:
            alike = self.texts.units_each(names, (self.vectors + self.usual)[None])
            return alike.expand(len(look.vectors), -1, -1)
        shift = self.shift(look.states.to(self.vectors.dtype))
        if torch.is_grad_enabled():
            self._remember(shift.detach().mean(dim=0))
        return self.texts.units_each(names, self.vectors + shift[:, None])

    @torch.no_grad()
    def _remember(self, shift: Float[Tensor, " w"]) -> None:
        """Take a shift into the mean: of all at first, later as one part in :data:`MEMORY`."""
        if self.seen < MEMORY:
            self.seen.add_(1)
        self.usual.lerp_(shift, 1 / float(self.seen))
