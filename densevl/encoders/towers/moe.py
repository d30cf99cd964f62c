"""Towers of CLIP-MoE: the feed-forward part of a block is a mixture of experts, of which each token takes a few.

Source: Zhang et al., CLIP-MoE: Towards Building Mixture of Experts for CLIP with Diversified Multiplet Upcycling,
2024, https://arxiv.org/abs/2409.19291. With x = ln_2(tokens) and E experts::

    p = softmax(gate(x))                       over all experts
    w = p / sum of the k best                  for the k best, 0 for the others
    tokens + sum_e w_e expert_e(x)

E is in a file, and k is not: the architecture names it as ``top_k``.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from open_clip.transformer import LayerNorm
from torch import Tensor, nn

from densevl.core.errors import UsageError
from densevl.encoders.towers.free import (
    HEAD_WIDTH,
    FreeBlock,
    FreeView,
    State,
    build_free_image,
    build_free_text,
    feed_forward,
    free_block,
)

__all__ = ["MixtureBlock", "build_moe_image", "build_moe_text"]


class MixtureView(FreeView):
    """A block with a mixture as readers run it."""

    def norm_2(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """Normalise what enters the mixture."""
        return self.block.ln_2(x)

    def mlp(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """Apply the mixture to normalised tokens."""
        return self.block.mixture(x)


class MixtureBlock(FreeBlock):
    """A block whose feed-forward part is a mixture of experts.

    Args:
        width: of the tokens.
        inner: width of all heads together; 0 for no attention.
        units: of each expert.
        experts: how many there are.
        top_k: how many a token takes.
        head_dim: width of a head.
        activation: inside the experts.
    """

    view_type = MixtureView

    def __init__(
        self,
        width: int,
        inner: int,
        units: int,
        experts: int,
        top_k: int,
        head_dim: int,
        activation: Callable[[], nn.Module] = nn.GELU,
    ) -> None:
        super().__init__(width, inner, 0, head_dim, activation)
        self.ln_2 = LayerNorm(width)
        self.experts = nn.ModuleList(feed_forward(width, units, activation) for _ in range(experts))
        self.gate = nn.Linear(width, experts, bias=False)
        self.top_k = top_k

    def shares(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n e"]:
        """Weight of each expert for each normalised token, zero but for the best; they sum to one."""
        best = self.gate(x).softmax(dim=-1).topk(self.top_k, dim=-1)
        weights = best.values / best.values.sum(dim=-1, keepdim=True)
        return torch.zeros_like(x[..., :1]).expand(*x.shape[:-1], len(self.experts)).scatter(-1, best.indices, weights)

    def mixture(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """Weighted sum of the experts of each normalised token; an expert runs on its tokens alone."""
        shares = self.shares(x)
        if torch.compiler.is_compiling():  # a graph has no number of tokens that an expert gets
            parts = [shares[..., index, None] * expert(x) for index, expert in enumerate(self.experts)]
            return torch.stack(parts).sum(dim=0)
        mixed = torch.zeros_like(x)
        for index, expert in enumerate(self.experts):
            chosen = shares[..., index] > 0
            mixed[chosen] += shares[..., index][chosen][:, None] * expert(x[chosen])
        return mixed

    def forward(self, x: Float[Tensor, "b n c"], attn_mask: Float[Tensor, "n n"] | None = None) -> Tensor:
        """Run the block whole."""
        x = super().forward(x, attn_mask)
        return x + self.mixture(self.ln_2(x))  # type: ignore[misc]


def moe_block(state: State, width: int, config: Mapping[str, Any], activation: Callable[[], nn.Module]) -> nn.Module:
    """A block with the shapes of its tensors: with a mixture where there is a gate.

    Raises:
        UsageError: where the architecture does not say how many experts a token takes, or more than there are.
    """
    if "gate.weight" not in state:
        return free_block(state, width, config, activation)
    experts, top_k = len(state["gate.weight"]), config.get("top_k")
    if not isinstance(top_k, int) or not 1 <= top_k <= experts:
        raise UsageError(
            f"a mixture of {experts} experts needs top_k in the architecture, how many of them a token takes, from 1 "
            f"to {experts}; got {top_k!r} (CLIP-MoE's own: 2)"
        )
    head_dim = int(config.get("head_width", HEAD_WIDTH))
    inner = state["attn.out_proj.weight"].shape[1] if "attn.out_proj.weight" in state else 0
    return MixtureBlock(width, inner, len(state["experts.0.c_fc.weight"]), experts, top_k, head_dim, activation)


build_moe_image = partial(build_free_image, block=moe_block)
build_moe_text = partial(build_free_text, block=moe_block)
