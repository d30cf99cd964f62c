"""Blocks of open_clip's transformers, run part by part.

A block computes ``x + ls_1(attn(ln_1(x)))`` and then ``x + ls_2(mlp(ln_2(x)))``. Running the parts ourselves gives
every intermediate result in the same pass, lets a readout leave parts of the last block out, and does not depend on
the token layout (``batch_first`` or not) that a block was built for: here tokens are always "b n c".
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

__all__ = ["BLOCK_PARTS", "attention", "feed_forward", "keys", "linear", "run_block", "values"]

BLOCK_PARTS = ("ln_1", "attn", "ln_2", "mlp")
"""Parts of a block whose output :func:`run_block` returns, beside ``"out"`` of the whole block."""

PLAIN_ATTENTION_TOKENS = 2048
"""Above this many tokens the weights of plain attention take too much memory (96 MiB for 12 heads here)."""

WEIGHTS_AT_ONCE = 2**23
"""Entries of plain attention that are held together: 16 MiB in bfloat16, which stay in a processor's cache."""


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


LEAST_TOKENS = 128
"""With fewer, the time goes elsewhere."""

_packed = WeakTensorKeyDictionary()


def linear(
    x: Float[Tensor, "*b n"],
    weight: Float[Tensor, "m n"],
    bias: Float[Tensor, " m"] | None = None,
    *,
    gelu: bool = False,
) -> Float[Tensor, "*b m"]:
    """``x @ weight.T + bias``, and then the exact GELU where it is asked for.

    Args:
        x: tokens.
        weight: a parameter that stays; its second layout is kept as long as it lives and is not changed.
        bias: as in ``torch.nn.functional.linear``.
        gelu: whether to apply GELU in the same pass.
    """
    if not _worthwhile(x, weight):
        result = F.linear(x, weight, bias)
        return F.gelu(result) if gelu else result
    after: tuple[str, list[float], str] = ("gelu", [], "none") if gelu else ("none", [], "")
    return torch.ops.mkldnn._linear_pointwise(x, _pack(weight), bias, *after)


def _worthwhile(x: Tensor, weight: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and isinstance(weight, nn.Parameter)
        and x.dtype == weight.dtype
        and x.dtype in (torch.float32, torch.bfloat16)
        and x.shape[:-1].numel() >= LEAST_TOKENS
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and not (torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad))
        and not torch.is_autocast_enabled(x.device.type)
        and (x.dtype == torch.float32 or torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )


def _pack(weight: Tensor) -> Tensor:
    """The weight in oneDNN's layout; made anew where the weight was changed or moved since."""
    state = (weight.data_ptr(), weight.dtype, 0 if weight.is_inference() else weight._version)
    known = _packed.get(weight)
    if known is None or known[0] != state:
        known = state, torch.ops.mkldnn._reorder_linear_weight(weight.detach())
        _packed[weight] = known
    return known[1]
