"""The ranking-aware adapter: from patches and a text to a score of each image, and of each pair of images.

Source: Yu et al., Ranking-aware adapter for text-driven image ordering with CLIP, ICLR 2025,
https://arxiv.org/abs/2412.06760; reference uynaes/RankingAwareCLIP at commit 05fc5c5 (Apache-2.0), whose outputs are
matched. Parameters have the reference's names.

Patches attend to each other and to the tokens of the text in two blocks, then to each other in two more; out come
tokens. The score of an image is regressed from the sum of its normalised tokens; that of a pair from the
:class:`densevl.encoders.ranking.attention.RankAwareAttention` of both.

Beside the text stand learnt tokens. In the reference, and here, each is one number repeated over all channels. The
layer norm of the attention makes zero of such a token, so that it says the same whatever was learnt: it is a place for
patches to look at nothing.

Ours are a ``width`` of its own, and ``places``: where each patch lies, which the features of many encoders do not say.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from densevl.core.errors import UsageError
from densevl.encoders.ranking.attention import RankAwareAttention

__all__ = ["RankAdapter"]


class RankAdapter(nn.Module):
    """Scores of images for a text, and of pairs of images.

    Args:
        dim: of patches and texts.
        width: of the adapter; None for ``dim``. Another width brings one linear layer for patches and one for texts,
            which the reference does not have.
        texts: learnt tokens beside those of the text.
        queries: of the attention over pairs.
        blocks: of patches that attend to the text, and again as many after them.
        heads: of every attention.
        places: numbers that say where a patch lies, which a linear layer adds to it; 0 for none.

    Attributes:
        settings: every setting, JSON values only.

    Raises:
        UsageError: where the heads do not divide the width, or a number is below 1.
    """

    def __init__(
        self,
        dim: int,
        width: int | None = None,
        texts: int = 32,
        queries: int = 16,
        blocks: int = 2,
        heads: int = 8,
        places: int = 0,
    ) -> None:
        super().__init__()
        inner = width or dim
        if min(dim, inner, texts, queries, blocks, heads) < 1 or inner % heads:
            raise UsageError(
                f"a ranking adapter of width {inner} cannot have {heads} heads, {blocks} blocks, {queries} queries and "
                f"{texts} learnt tokens; the width is a multiple of the heads, and no number is below 1"
            )
        self.settings: Mapping[str, Any] = {
            "dim": dim,
            "width": width,
            "texts": texts,
            "queries": queries,
            "blocks": blocks,
            "heads": heads,
            "places": places,
        }
        if inner != dim:
            self.image_in, self.text_in = nn.Linear(dim, inner, bias=False), nn.Linear(dim, inner)
        if places:
            self.place_in = nn.Linear(places, inner, bias=False)
        self.learnable_text_tokens = nn.Parameter(0.02 * torch.randn(1, texts))
        self.reg_tokens = nn.Parameter(torch.randn(queries, inner) * inner**-0.5)
        self.crossmodal_block = _CrossModal(inner, blocks, heads)
        layer = nn.TransformerEncoderLayer(inner, heads, inner, dropout=0.0, batch_first=True)
        self.post_fuse_block = nn.TransformerEncoder(layer, blocks, enable_nested_tensor=False)
        self.reg_token_pooler = RankAwareAttention(inner, heads)
        self.pair_regressor = _Regressor(nn.LayerNorm(inner), *(part for _ in range(3) for part in _step(inner)))
        self.reg_ln = nn.LayerNorm(inner)
        self.regressor = _Regressor(*(part for _ in range(2) for part in _step(inner)))

    def forward(
        self,
        patches: Float[Tensor, "n p d"],
        texts: Float[Tensor, "n t d"],
        places: Float[Tensor, "n p f"] | None = None,
    ) -> Float[Tensor, "n p c"]:
        """Tokens that hold what the text asks of each image.

        Args:
            patches: of each image; zeros are patches that show nothing.
            texts: tokens of the text of each image, at least one.
            places: where each patch lies, for an adapter that reads it; zeros for patches that show nothing.
        """
        if hasattr(self, "image_in"):
            patches, texts = self.image_in(patches), self.text_in(texts)
        if hasattr(self, "place_in"):
            patches = patches + self.place_in(places)
        learnt = self.learnable_text_tokens[..., None].expand(len(texts), -1, texts.shape[2])
        return self.post_fuse_block(self.crossmodal_block(patches, torch.cat([texts, learnt], 1)))

    def scores(self, tokens: Float[Tensor, "n p c"]) -> Float[Tensor, " n"]:
        """The score of each image: the higher, the more of what the text asks for."""
        return self.regressor(self.reg_ln(tokens).sum(1))[:, 0]

    def pairs(self, tokens: Float[Tensor, "n p c"]) -> Float[Tensor, "n n"]:
        """Logits of each image, down, having more of what the text asks for than each other one, across."""
        found = self.reg_token_pooler.summed(self.reg_tokens, tokens)
        return torch.cat([self.pair_regressor(some)[..., 0] for some in found])


class _CrossModal(nn.Module):
    """Blocks in which patches attend to each other and then to a text, and the way out of them."""

    def __init__(self, width: int, blocks: int, heads: int) -> None:
        super().__init__()
        from open_clip.transformer import ResidualAttentionBlock  # here: it takes as long as torch, and few rank

        self.resblocks = nn.ModuleList(ResidualAttentionBlock(width, heads) for _ in range(blocks))
        self.cross_attn = nn.ModuleList(
            ResidualAttentionBlock(width, heads, is_cross_attention=True) for _ in range(blocks)
        )
        self.ln_final = nn.LayerNorm(width)
        self.projection = nn.Parameter(torch.randn(width, width) * width**-0.5)

    def forward(self, patches: Float[Tensor, "n p c"], texts: Float[Tensor, "n t c"]) -> Float[Tensor, "n p c"]:
        for own, other in zip(self.resblocks, self.cross_attn, strict=True):
            patches = other(own(patches), k_x=texts, v_x=texts)
        return self.ln_final(patches) @ self.projection


class _Regressor(nn.Module):
    """Layers, and the number that comes out of them."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.pre_linear_block = nn.Sequential(*layers)
        width = next(part.out_features for part in layers if isinstance(part, nn.Linear))
        self.output_head = nn.Linear(width, 1)

    def forward(self, x: Float[Tensor, "*n c"]) -> Float[Tensor, "*n 1"]:
        return self.output_head(self.pre_linear_block(x))


def _step(width: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    return nn.Linear(width, width), nn.LayerNorm(width), nn.ReLU()
