"""Blocks of transformers, run piece by piece, whatever library built them.

A block computes ``x + attn(norm_1(x))`` and then ``x + mlp(norm_2(x))``. Running the pieces ourselves gives every
intermediate result in the same pass, lets a readout leave pieces of the last block out, and does not depend on the
token layout (``batch_first`` or not) that a block was built for: here tokens are always "b n c".
"""

import functools
from collections.abc import Iterable
from typing import NoReturn, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from densevl.core.errors import UsageError
from densevl.core.int8 import Int8Weight
from densevl.core.processor import instructions

__all__ = [
    "LETTERS",
    "TAPS",
    "Block",
    "NoAttention",
    "attend",
    "feed_forward",
    "is_residual",
    "linear",
    "project",
    "project_heads",
    "run_block",
    "run_blocks",
]

TAPS = ("ln_1", "attn", "ln_2", "mlp")
"""Names of what :func:`run_block` returns of a block, beside ``"out"`` of the whole, as open_clip calls them."""

LETTERS = "qkv"
"""Letters of queries, keys and values, in the order in which libraries keep their weights."""

PLAIN_ATTENTION_TOKENS = 2048
"""Above this many tokens the weights of plain attention take too much memory (96 MiB for 12 heads here)."""

WEIGHTS_AT_ONCE = 2**23
"""Entries of plain attention that are held together: 16 MiB in bfloat16, which stay in a processor's cache."""


@runtime_checkable
class Block(Protocol):
    """One residual block of a transformer; towers adapt the blocks of their library to it.

    A block whose attention is not added to its input, as one that pools, says so by an attribute ``residual = False``.
    One behind which tokens are replaced or added has a method ``behind``, from its output to what enters the next.
    """

    def norm_1(self, x: Float[Tensor, "b n c"], /) -> Float[Tensor, "b n c"]:
        """Normalise what enters the attention."""
        ...

    def qkv(self, x: Float[Tensor, "b n c"], wanted: str = LETTERS, /) -> tuple[Float[Tensor, "b heads n e"], ...]:
        """Project normalised tokens to queries, keys and values of each head.

        Args:
            x: normalised by :meth:`norm_1`.
            wanted: letters of those that are returned, in this order, such as ``"v"`` or ``"qk"``.
        """
        ...

    def out(self, mixed: Float[Tensor, "b heads n e"], /) -> Float[Tensor, "b n c"]:
        """Project what the heads gathered back to tokens, layer scale included."""
        ...

    def norm_2(self, x: Float[Tensor, "b n c"], /) -> Float[Tensor, "b n c"]:
        """Normalise what enters the feed-forward layers."""
        ...

    def mlp(self, x: Float[Tensor, "b n c"], /) -> Float[Tensor, "b n c"]:
        """Apply the feed-forward layers to normalised tokens, layer scale included."""
        ...


class NoAttention:
    """What stands for the last block of a tower that ends in convolutions, whose last map is read as it is.

    Args:
        tower: name of the tower, for the error.
    """

    def __init__(self, tower: str) -> None:
        self.tower = tower

    def _refuse(self, *_: object) -> NoReturn:
        raise UsageError(f"{self.tower} ends in convolutions and leaves no attention to read; take readout=plain")

    norm_1 = qkv = out = norm_2 = mlp = _refuse


def is_residual(block: Block) -> bool:
    """True where a block adds its attention to its input."""
    return getattr(block, "residual", True)


def project(block: Block, mixed: Float[Tensor, "b heads n e"]) -> Float[Tensor, "b n c"]:
    """The output of a block's attention before its layer scale, which a block with one gives as ``project``.

    Args:
        block: the block.
        mixed: what the heads gathered.
    """
    return getattr(block, "project", block.out)(mixed)


def run_block(block: Block, x: Float[Tensor, "b n c"], *, causal: bool = False) -> dict[str, Float[Tensor, "b _ c"]]:
    """Run a block; return the output of each of its pieces (:data:`TAPS`), and of the whole as ``"out"``.

    A block with a method ``behind`` may put out more tokens than enter it.

    Args:
        block: the block, self-attention only; :class:`NoAttention` gives back its input as ``"out"`` and nothing else.
        x: its input.
        causal: each token attends to itself and to earlier tokens only, as in text towers.
    """
    if isinstance(block, NoAttention):
        return {"out": x}
    normed = block.norm_1(x)
    attended = block.out(attend(*block.qkv(normed), causal=causal))
    x = x + attended if is_residual(block) else attended
    normed_again = block.norm_2(x)
    hidden = block.mlp(normed_again)
    behind = getattr(block, "behind", None)
    out = x + hidden if behind is None else behind(x + hidden)
    return {"ln_1": normed, "attn": attended, "ln_2": normed_again, "mlp": hidden, "out": out}


def run_blocks(blocks: Iterable[Block], x: Float[Tensor, "b n c"]) -> Float[Tensor, "b _ c"]:
    """Tokens behind blocks that are run one after the other."""
    for block in blocks:
        x = run_block(block, x)["out"]
    return x


def attend(
    query: Float[Tensor, "b heads n e"],
    key: Float[Tensor, "b heads m e"],
    value: Float[Tensor, "b heads m f"],
    *,
    causal: bool = False,
) -> Float[Tensor, "b heads n f"]:
    """Scaled dot-product attention of each head: ``softmax(q kᵀ / √e) v``.

    Args:
        query: of each token that attends.
        key: of each token that is attended to.
        value: what is gathered.
        causal: each token attends to itself and to earlier tokens only.
    """
    if 0 in query.shape:  # a block that has lost its heads
        return query.new_empty(*query.shape[:3], value.shape[3])
    short = max(query.shape[2], key.shape[2]) <= PLAIN_ATTENTION_TOKENS
    if query.device.type == "cpu" and query.dtype == torch.bfloat16 and short and not causal and not _has_tiles():
        heads = (each.reshape(-1, *each.shape[2:]) for each in (query, key, value))
        return _plain_attention(*heads).unflatten(0, query.shape[:2])
    return F.scaled_dot_product_attention(query, key, value, is_causal=causal)


@functools.cache
def _has_tiles() -> bool:
    """Whether the processor has AMX, with which the fused kernel is the faster one: 1.1 to 1.7 times."""
    return "amx_bf16" in instructions()


def _plain_attention(
    query: Float[Tensor, "m n e"], key: Float[Tensor, "m k e"], value: Float[Tensor, "m k f"]
) -> Float[Tensor, "m n f"]:
    """Attention of m heads by two matrix products: in bfloat16 on CPUs, 1.5 times as fast as the fused kernel.

    Without gradients the heads are taken a few at a time, and their weights made in place: fresh memory for all of them
    costs as much as the products.
    """
    query = query * query.shape[-1] ** -0.5
    if torch.is_grad_enabled():
        return (query @ key.mT).softmax(dim=-1) @ value
    mixed = query.new_empty(*query.shape[:2], value.shape[2])
    heads = min(len(query), max(1, WEIGHTS_AT_ONCE // (query.shape[1] * key.shape[1])))
    place = query.new_empty(heads, query.shape[1], key.shape[1])
    for start in range(0, len(query), heads):
        some = slice(start, start + heads)
        weights = place[: len(query[some])]
        torch.bmm(query[some], key[some].mT, out=weights)
        torch.softmax(weights, dim=-1, out=weights)
        torch.bmm(weights, value[some], out=mixed[some])
    return mixed


def project_heads(
    x: Float[Tensor, "b n c"],
    weight: Float[Tensor, "m3 c"],
    bias: Float[Tensor, " m3"] | None,
    head_dim: int,
    wanted: str = LETTERS,
) -> tuple[Float[Tensor, "b heads n e"], ...]:
    """Queries, keys and values of each head, by one matrix; only what is wanted is computed.

    Args:
        x: tokens.
        weight: rows of the queries, the keys and the values, each head by head.
        bias: of these rows; None for none.
        head_dim: width of a head.
        wanted: letters of those that are returned, in this order.
    """
    if wanted == LETTERS:
        return tuple(linear(x, weight, bias).unflatten(-1, (3, -1, head_dim)).permute(2, 0, 3, 1, 4))
    weights, biases = dict(zip(LETTERS, weight.chunk(3), strict=True)), dict.fromkeys(LETTERS)
    if bias is not None:
        biases = dict(zip(LETTERS, bias.chunk(3), strict=True))
    projected = (F.linear(x, weights[letter], biases[letter]) for letter in wanted)
    return tuple(each.unflatten(-1, (-1, head_dim)).transpose(1, 2) for each in projected)


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
    """``x @ weight.T + bias``, and then the exact GELU where it is wanted.

    Args:
        x: tokens.
        weight: a parameter that stays; its second layout is kept as long as it lives and is not changed. One in int8
            computes with its integers.
        bias: as in ``torch.nn.functional.linear``.
        gelu: whether to apply GELU in the same pass.
    """
    if isinstance(weight, Int8Weight):
        return weight.linear(x, bias, gelu)
    if not _worthwhile(x, weight):
        result = F.linear(x, weight, bias)
        return F.gelu(result) if gelu else result
    after: tuple[str, list[float], str] = ("gelu", [], "none") if gelu else ("none", [], "")
    return torch.ops.mkldnn._linear_pointwise(x, _pack(weight), bias, *after)


def feed_forward(
    x: Float[Tensor, "*b n"], first: nn.Linear, activation: nn.Module, last: nn.Linear, norm: nn.Module | None = None
) -> Float[Tensor, "*b m"]:
    """Two linear layers with an activation between them.

    Args:
        x: tokens.
        first: the first layer.
        activation: the exact GELU is applied in the same pass as the first layer.
        last: the second layer.
        norm: behind the activation; None for none.
    """
    exact = isinstance(activation, nn.GELU) and activation.approximate == "none"
    plain = norm is None or isinstance(norm, nn.Identity)
    if exact and plain and isinstance(first.weight, Int8Weight) and isinstance(last.weight, Int8Weight):
        return first.weight.feed_forward(x, first.bias, last.weight, last.bias)
    hidden = linear(x, first.weight, first.bias, gelu=exact)
    hidden = hidden if exact else activation(hidden)
    return linear(hidden if norm is None else norm(hidden), last.weight, last.bias)


def _worthwhile(x: Tensor, weight: Tensor) -> bool:
    return (
        not torch.compiler.is_compiling()
        and x.device.type == "cpu"
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
