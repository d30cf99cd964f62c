"""Blocks of open_clip's transformers, run part by part.

A block computes ``x + ls_1(attn(ln_1(x)))`` and then ``x + ls_2(mlp(ln_2(x)))``. Running the parts ourselves gives
every intermediate result in the same pass, lets a readout leave parts of the last block out, and does not depend on
the token layout (``batch_first`` or not) that a block was built for: here tokens are always "b n c".
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor, nn

from densevl.linear import linear

__all__ = ["BLOCK_PARTS", "ReadTokens", "Readout", "attention", "feed_forward", "keys", "run_block", "values"]

BLOCK_PARTS = ("ln_1", "attn", "ln_2", "mlp")
"""Parts of a block whose output :func:`run_block` returns, beside ``"out"`` of the whole block."""

PLAIN_ATTENTION_TOKENS = 2048
"""Above this many tokens the weights of plain attention take too much memory (96 MiB for 12 heads here)."""

WEIGHTS_AT_ONCE = 2**23
"""Entries of plain attention that are held together: 16 MiB in bfloat16, which stay in a processor's cache."""


class ReadTokens(NamedTuple):
    """What a readout takes from the last block.

    Attributes:
        tokens: one token for the class and one for each patch, before ``ln_post`` and the projection.
        keys: keys of the block's attention, heads concatenated; None where nobody asked for them.
    """

    tokens: Float[Tensor, "b n c"]
    keys: Float[Tensor, "b n c"] | None


Readout = Callable[[ResidualAttentionBlock, Tensor, bool], ReadTokens]
"""How the last block is read: (block, its input "b n c", whether keys are wanted) to tokens and keys."""


def run_block(
    block: ResidualAttentionBlock, x: Float[Tensor, "b n c"], *, causal: bool = False
) -> dict[str, Float[Tensor, "b n c"]]:
    """Run a block; return the output of each of its parts, and of the whole as ``"out"``.

    Args:
        block: the block, self-attention only.
        x: its input.
        causal: each token attends to itself and to earlier tokens only, as in text towers.
    """
    normed = block.ln_1(x)
    attended = attention(block.attn, normed, causal=causal)
    x = x + block.ls_1(attended)
    normed_again = block.ln_2(x)
    hidden = feed_forward(block.mlp, normed_again)
    return {"ln_1": normed, "attn": attended, "ln_2": normed_again, "mlp": hidden, "out": x + block.ls_2(hidden)}


def attention(
    attn: nn.MultiheadAttention, x: Float[Tensor, "b n c"], *, causal: bool = False
) -> Float[Tensor, "b n c"]:
    """Self-attention of normalised tokens, the output projection included."""
    projected = linear(x, attn.in_proj_weight, attn.in_proj_bias)
    query, key, value = projected.unflatten(-1, (3, attn.num_heads, -1)).permute(2, 0, 3, 1, 4)
    on_cpu, short = query.device.type == "cpu", x.shape[1] <= PLAIN_ATTENTION_TOKENS
    if on_cpu and short and query.dtype == torch.bfloat16 and not causal:
        heads = (part.reshape(-1, *part.shape[2:]) for part in (query, key, value))
        mixed = _plain_attention(*heads).unflatten(0, query.shape[:2])
    else:
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=causal)
    return linear(mixed.transpose(1, 2).flatten(2), attn.out_proj.weight, attn.out_proj.bias)


def feed_forward(mlp: Any, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
    """Two linear layers with the block's activation between them."""
    exact = isinstance(mlp.gelu, nn.GELU) and mlp.gelu.approximate == "none"
    hidden = linear(x, mlp.c_fc.weight, mlp.c_fc.bias, gelu=exact)
    return linear(hidden if exact else mlp.gelu(hidden), mlp.c_proj.weight, mlp.c_proj.bias)


def _plain_attention(
    query: Float[Tensor, "m n e"], key: Float[Tensor, "m n e"], value: Float[Tensor, "m n e"]
) -> Float[Tensor, "m n e"]:
    """Attention of m heads by two matrix products: in bfloat16 on a CPU, 1.5 times as fast as the fused kernel.

    Without gradients the heads are taken a few at a time, and their weights made in place: fresh memory for all of them
    costs as much as the products.
    """
    query = query * query.shape[-1] ** -0.5
    if torch.is_grad_enabled():
        return (query @ key.mT).softmax(dim=-1) @ value
    mixed = torch.empty_like(query)
    heads = min(len(query), max(1, WEIGHTS_AT_ONCE // (query.shape[1] * key.shape[1])))
    place = query.new_empty(heads, query.shape[1], key.shape[1])
    for start in range(0, len(query), heads):
        some = slice(start, start + heads)
        weights = place[: len(query[some])]
        torch.bmm(query[some], key[some].mT, out=weights)
        torch.softmax(weights, dim=-1, out=weights)
        torch.bmm(weights, value[some], out=mixed[some])
    return mixed


def keys(attn: nn.MultiheadAttention, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
    """Keys of normalised tokens, heads concatenated."""
    return _projected(attn, x, 1)


def values(attn: nn.MultiheadAttention, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
    """The value path, every token for itself: ``out_proj(W_v x + b_v)``."""
    return attn.out_proj(_projected(attn, x, 2))


def _projected(attn: nn.MultiheadAttention, x: Tensor, part: int) -> Tensor:
    """One third of the joint projection: queries (0), keys (1) or values (2)."""
    width = attn.embed_dim
    rows = slice(part * width, (part + 1) * width)
    bias = None if attn.in_proj_bias is None else attn.in_proj_bias[rows]
    return F.linear(x, attn.in_proj_weight[rows], bias)
