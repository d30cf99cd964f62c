"""Weight inheritance: a smaller transformer made of parts of a larger one, without training.

Source: Wu et al., TinyCLIP: CLIP Distillation via Affinity Mimicking and Weight Inheritance, ICCV 2023,
https://arxiv.org/abs/2309.12314; reference code wkcn/TinyCLIP at commit ad981bf.

Manual inheritance keeps, of every T/S-th block from the first, the first channels, heads and units
(:func:`first_parts`). Any other choice, as pruning makes, is cut out in the same way (:func:`inherit`): queries, keys
and values by head, and whatever has the width of the tokens by channel. A block may be left with no head, or with no
unit.

Convention: tensors are those of one tower by open_clip's names, without ``visual.`` or ``text.``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from densevl.core.errors import UsageError

__all__ = ["Parts", "PartsOfBlock", "Shape", "check_size", "first_parts", "inherit", "shape_of"]

BLOCK = re.compile(r"transformer\.resblocks\.(\d+)\.(.+)")

CHANNELS = {
    **dict.fromkeys(("class_embedding", "conv1.weight", "proj", "text_projection"), (0,)),
    **dict.fromkeys(("positional_embedding", "token_embedding.weight"), (1,)),
    **{f"{norm}.{part}": (0,) for norm in ("ln_pre", "ln_post", "ln_final") for part in ("weight", "bias")},
    **dict.fromkeys(("conv1.4.weight", "conv1.4.bias"), (0,)),
    **{f"conv1.5.norm.{part}": (0,) for part in ("weight", "bias")},
    **{f"conv1.5.{conv}.weight": (0, 1) for conv in ("conv1", "conv2")},
    **{f"conv1.5.{conv}.bias": (0,) for conv in ("conv1", "conv2")},
    **dict.fromkeys([f"conv1.{layer}.{part}" for layer in ("0", "2") for part in ("weight", "bias")], ()),
    **{f"conv1.3.norm.{part}": () for part in ("weight", "bias")},
    **{f"conv1.3.{conv}.{part}": () for conv in ("conv1", "conv2") for part in ("weight", "bias")},
}
"""The dimensions of each tensor outside the blocks that count channels of the tokens; the stem is that of the mini
models, whose last two layers have the width of the tokens."""


@dataclass(frozen=True)
class Shape:
    """The shape of a tower.

    Attributes:
        width: channels of the tokens.
        head_width: of each head.
        heads: of each block.
        units: of the feed-forward layers of each block.
    """

    width: int
    head_width: int
    heads: tuple[int, ...]
    units: tuple[int, ...]


@dataclass(frozen=True)
class PartsOfBlock:
    """What is kept of a block.

    Attributes:
        index: of the block in the larger tower.
        heads: indices, rising.
        units: indices, rising.
    """

    index: int
    heads: Int[Tensor, " h"]
    units: Int[Tensor, " u"]


@dataclass(frozen=True)
class Parts:
    """What is kept of a tower.

    Attributes:
        channels: indices, rising.
        blocks: first to last.
    """

    channels: Int[Tensor, " c"]
    blocks: tuple[PartsOfBlock, ...]


def shape_of(state: Mapping[str, Tensor], head_width: int) -> Shape:
    """The shape of a tower.

    Raises:
        UsageError: where a tensor is none of a plain transformer's.
    """
    strange = next((name for name in state if name not in CHANNELS and not BLOCK.fullmatch(name)), None)
    if strange is not None:
        raise UsageError(f"{strange} is no part of a plain transformer of open_clip, so the tower cannot be shrunk")
    depth = 1 + max(int(match[1]) for name in state if (match := BLOCK.fullmatch(name)))
    rows = [_rows(state, index, "attn.in_proj_weight") for index in range(depth)]
    units = [_rows(state, index, "mlp.c_fc.weight") for index in range(depth)]
    width = state["positional_embedding"].shape[1]
    return Shape(width, head_width, tuple(one // (3 * head_width) for one in rows), tuple(units))


def _rows(state: Mapping[str, Tensor], index: int, name: str) -> int:
    found = state.get(f"transformer.resblocks.{index}.{name}")
    return 0 if found is None else len(found)


def first_parts(shape: Shape, width: int, depth: int) -> Parts:
    """TinyCLIP's manual choice: every T/S-th block from the first, its first heads and units, the first channels.

    Args:
        shape: of the larger tower.
        width: channels that are kept; the heads and units of a block are kept in the same proportion.
        depth: blocks that are kept.

    Raises:
        UsageError: where the width is no number of whole heads, or is greater than the tower's, or the depth is.
    """
    check_size(shape, width, depth)
    total = len(shape.heads)
    kept = [index * total // depth for index in range(depth)]
    blocks = tuple(
        PartsOfBlock(
            index,
            torch.arange(-(-shape.heads[index] * width // shape.width)),
            torch.arange(-(-shape.units[index] * width // shape.width)),
        )
        for index in kept
    )
    return Parts(torch.arange(width), blocks)


def check_size(shape: Shape, width: int, depth: int) -> None:
    """Refuse a size that cannot be kept of a tower.

    Raises:
        UsageError: where it cannot.
    """
    if not 1 <= depth <= len(shape.heads):
        raise UsageError(f"depth must be from 1 to {len(shape.heads)}, the blocks of this tower; got {depth}")
    head = shape.head_width
    if not head <= width <= shape.width or width % head:
        widths = ", ".join(str(one) for one in range(head, shape.width + 1, head))
        raise UsageError(f"width must be a number of whole heads of {head}, one of {widths}; got {width}")


def inherit(state: Mapping[str, Tensor], parts: Parts, head_width: int) -> dict[str, Tensor]:
    """The tensors of a smaller tower, copied out of a larger one.

    Args:
        state: of the larger tower.
        parts: what is kept.
        head_width: of each head.
    """
    places = {block.index: place for place, block in enumerate(parts.blocks)}
    made: dict[str, Tensor] = {}
    for name, tensor in state.items():
        match = BLOCK.fullmatch(name)
        if match is None:
            made[name] = _chosen(tensor, dict.fromkeys(CHANNELS[name], parts.channels))
        elif int(match[1]) in places:
            block = parts.blocks[places[int(match[1])]]
            cut = _cuts(match[2], tensor, block, parts.channels, head_width)
            if cut is not None:
                made[f"transformer.resblocks.{places[block.index]}.{match[2]}"] = _chosen(tensor, cut)
    return made


def _cuts(
    name: str, tensor: Tensor, block: PartsOfBlock, channels: Tensor, head_width: int
) -> dict[int, Tensor] | None:
    """Indices kept of each dimension of a tensor of a block; None where all of it goes."""
    half = "units" if name.startswith(("ln_2", "mlp", "ls_2")) else "heads"
    if len(getattr(block, half)) == 0:
        return None
    inner = (block.heads[:, None] * head_width + torch.arange(head_width)).flatten()
    if name.startswith("attn.in_proj"):
        rows = torch.cat([inner + part * (len(tensor) // 3) for part in range(3)])
        return {0: rows, 1: channels} if tensor.ndim == 2 else {0: rows}
    if name.startswith("mlp.c_fc"):
        return {0: block.units, 1: channels} if tensor.ndim == 2 else {0: block.units}
    if name in ("attn.out_proj.weight", "mlp.c_proj.weight"):
        return {0: channels, 1: inner if name.startswith("attn") else block.units}
    return {0: channels}  # norms, biases of what writes to the tokens, layer scales


def _chosen(tensor: Tensor, indices: Mapping[int, Tensor]) -> Tensor:
    for dimension, kept in indices.items():
        tensor = tensor.index_select(dimension, kept.to(tensor.device))
    return tensor.clone()
