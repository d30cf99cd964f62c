"""MaPLe and CPE-CLIP: learnt tokens in the first blocks of both towers, those of images made of those of texts.

Sources: Khattak et al., MaPLe: Multi-modal Prompt Learning, CVPR 2023, https://arxiv.org/abs/2210.03117, code
muzairkhattak/multimodal-prompt-learning at commit 69bce21 (MIT); D'Alessandro et al., Multimodal Parameter-Efficient
Few-Shot Class Incremental Learning (CPE-CLIP), ICCVW 2023, https://arxiv.org/abs/2303.04751, code neuraptic/cpe-clip at
commit 9309631 (MIT). Before block i < depth the text tower gets the tokens p_i behind its start, and the image tower
``F_i(p_i)``, F_i linear: one of each block (MaPLe), or one for all (CPE-CLIP). They replace those of the block before,
or join them.

The image tokens are the last of the prefix; see :mod:`densevl.encoders.tuning.prompted_images`. Where we differ:
CPE-CLIP's tokens are drawn from N(0, 0.02²), about as wide as the uniform draw of its code.
"""

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from densevl.encoders.clip import CLIPEncoder
from densevl.encoders.tuning.beside import BesideWeights
from densevl.encoders.tuning.context import first_tokens
from densevl.encoders.tuning.learnt_tokens import LearntTokens, drawn
from densevl.encoders.tuning.prompted_images import PromptedImages
from densevl.encoders.tuning.prompted_texts import PromptedTexts

__all__ = ["DeepPrompts"]


class DeepPrompts(BesideWeights):
    """Learnt tokens in the first blocks of both towers.

    Args:
        encoder: its text tower is causal, and its image tower a transformer that does not pool by attention.
        words: what the tokens of the first block begin as; empty to draw them. Words beyond them stay.
        count: tokens of a block.
        depth: blocks that get some, at most those of the smaller tower.
        shared: make the tokens of images by one matrix for all blocks, not by one of each.
        texts: what becomes of the tokens before, in the text tower; one of
            :data:`densevl.encoders.tuning.learnt_tokens.MODES`.
        images: what becomes of the tokens before, in the image tower.
        ending: what follows a text.

    Attributes:
        prompts: of each block, "m c" as wide as the text tower.
        couplings: from them to the image tower.

    Raises:
        UsageError: where a tower is of another kind or has fewer blocks, or a setting cannot be used.
    """

    towers: tuple[str, ...] = ("image", "text")
    learnt_what = "a learnt token"

    def __init__(
        self,
        encoder: CLIPEncoder,
        words: str = "a photo of a",
        count: int = 2,
        depth: int = 9,
        shared: bool = False,
        texts: str = "replace",
        images: str = "replace",
        ending: str = ".",
    ) -> None:
        super().__init__()
        self.words, self.count, self.depth, self.shared = words, count, depth, shared
        self.modes, self.ending = {"texts": texts, "images": images}, ending
        first, rest = first_tokens(encoder, words, count)
        deep = drawn(max(depth - 1, 0), *first.shape).to(first)
        self.prompts = nn.ParameterList([nn.Parameter(first), *map(nn.Parameter, deep.unbind())])
        matrices = (nn.Linear(first.shape[1], encoder.width) for _ in range(1 if shared else max(depth, 1)))
        self.couplings = nn.ModuleList(matrices).to(first.device)
        self.of_texts = PromptedTexts(encoder.text, LearntTokens(self.learnt, count, depth, texts), rest, ending)
        self.of_images = PromptedImages(encoder.image, LearntTokens(self.coupled, count, depth, images))

    @property
    def settings(self) -> Mapping[str, Any]:
        """Every setting."""
        return {
            "words": self.words,
            "count": self.count,
            "depth": self.depth,
            "shared": self.shared,
            **self.modes,
            "ending": self.ending,
        }

    def learnt(self, place: int) -> Float[Tensor, "m c"]:
        """The learnt tokens of a block; bound, so that a copy of the encoder has those of the copy."""
        return self.prompts[place]

    def coupled(self, place: int) -> Float[Tensor, "m c"]:
        """The image tokens of a block, made of those of texts."""
        return self.couplings[0 if self.shared else place](self.prompts[place])

    def attach(self, encoder: CLIPEncoder) -> None:
        """Encode every image and every text with the learnt tokens, which take the place of any template."""
        encoder.image, encoder.text, encoder.text_cache = self.of_images, self.of_texts, None
