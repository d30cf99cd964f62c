"""The text tower of TIPS and TIPSv2: sinusoids for positions, ReLU, no mask but of padding, the mean of all tokens.

Source: Maninis et al., TIPS: Text-Image Pretraining with Spatial awareness, ICLR 2025, https://arxiv.org/abs/2410.16512,
and google-deepmind/tips. With e the embedded tokens of a text, without its padding::

    x = √c · e + sinusoids        then blocks, x + attn(ln_1(x)), x + mlp(ln_2(x)), mlp with ReLU
    text = mean over tokens of ln_final(x)

There is no projection. Padding is told by its id 0, which no piece of a text has.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor, nn

__all__ = ["TipsText", "build_tips_text"]

PADDING = 0
LONGEST_WAVE = 10_000.0


class TipsText(nn.Module):
    """From token ids to a vector of the joint space; tensors are named as in the authors' code.

    Args:
        vocab_size: rows of the token embedding.
        width: of a token, and of the joint space.
        heads: of each attention.
        layers: number of blocks.
        hidden: width inside the feed-forward layers.
        context_length: tokens that a text may have.
    """

    def __init__(self, vocab_size: int, width: int, heads: int, layers: int, hidden: int, context_length: int) -> None:
        super().__init__()
        self.output_dim, self.context_length = width, context_length
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.ModuleList(
            ResidualAttentionBlock(width, heads, (hidden + 0.5) / width, act_layer=nn.ReLU, batch_first=True)
            for _ in range(layers)
        )
        self.ln_final = nn.LayerNorm(width)

    def forward(self, tokens: Int[Tensor, "q n"]) -> Float[Tensor, "q c"]:
        """Embeddings of tokenised texts, not normalised.

        Args:
            tokens: ids, filled up with 0 at the end.
        """
        tokens = tokens[:, : max(1, int((tokens != PADDING).sum(dim=1).max()))]
        given = tokens != PADDING
        x = self.token_embedding(tokens) * math.sqrt(self.output_dim)
        x = x + sinusoids(tokens.shape[1], self.output_dim, x.device).to(x.dtype)
        hidden = _mask(given, x.dtype)
        blocks: Any = self.transformer.resblocks
        for block in blocks:
            x = block(x, attn_mask=hidden.repeat_interleave(block.attn.num_heads, dim=0))
        x = self.ln_final(x).masked_fill(~given[..., None], 0)
        return x.sum(dim=1) / given.sum(dim=1, keepdim=True).clamp(min=1)


def sinusoids(length: int, width: int, device: torch.device) -> Float[Tensor, "n c"]:
    """Sines, then cosines, of waves whose lengths grow from 2π to 2π · 10,000, of each place.

    Args:
        length: number of places.
        width: of a token; even.
        device: where they are computed.
    """
    steps = torch.arange(width // 2, dtype=torch.float32, device=device)
    rates = torch.exp(steps * -(math.log(LONGEST_WAVE) / max(width // 2 - 1, 1)))
    angles = torch.arange(length, dtype=torch.float32, device=device)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def _mask(given: Bool[Tensor, "q n"], dtype: torch.dtype) -> Float[Tensor, "q n n"]:
    """What is added to attention weights so that no token looks at padding; a text of nothing else looks at all."""
    seen = given | ~given.any(dim=1, keepdim=True)
    hidden = torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill(~seen, -math.inf)
    return hidden[:, None].expand(-1, seen.shape[1], -1)


def build_tips_text(
    config: Mapping[str, Any], embed_dim: int, state: Mapping[str, Tensor], quick_gelu: bool
) -> TipsText:
    """The tower by open_clip's keys ``vocab_size``, ``heads``, ``layers``, ``context_length``, and ``hidden``.

    Args:
        config: these keys; ``hidden`` is four times the width where it is left out.
        embed_dim: width of a token and of the joint space.
        state: not used.
        quick_gelu: not used: the tower has ReLU.
    """
    return TipsText(
        config["vocab_size"],
        embed_dim,
        config["heads"],
        config["layers"],
        config.get("hidden", 4 * embed_dim),
        config.get("context_length", 64),
    )
