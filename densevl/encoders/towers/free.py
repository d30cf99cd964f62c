"""Towers of open_clip whose blocks have free shapes, as pruning leaves them: their shapes are read from the tensors.

Source: Wu et al., TinyCLIP: CLIP Distillation via Affinity Mimicking and Weight Inheritance, ICCV 2023,
https://arxiv.org/abs/2309.12314; layout of the files by wkcn/TinyCLIP at commit ad981bf. There each block keeps the
heads and the units that its gates left open, a head keeps its width (64), and a block may have lost its attention or
its feed-forward layers altogether.

The towers are open_clip's own around such blocks, so that positions, pooling and tokenisation are open_clip's.

Convention: tokens are "b n c".
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from open_clip.model import _build_text_tower, _build_vision_tower
from open_clip.transformer import LayerNorm, QuickGELU
from torch import Tensor, nn

from densevl.core.attention import LETTERS, Block
from densevl.core.conv_stem import ConvStem
from densevl.core.errors import UsageError
from densevl.encoders.towers.open_clip import OpenClipBlock

__all__ = ["FreeBlock", "FreeTransformer", "FreeView", "build_free_image", "build_free_text", "feed_forward"]

HEAD_WIDTH = 64
"""Of all published files; an architecture may say another ``head_width``."""

UNKNOWN = ("act_kwargs", "attentional_pool", "block_type", "ls_init_value", "norm_kwargs", "qk_norm")
"""Settings of open_clip's blocks and pooling that such towers do not have."""

State = Mapping[str, Tensor]


class FreeView(OpenClipBlock):
    """A block of free shape as readers run it; a half that it lacks adds nothing.

    A block without attention has no heads: what is asked of them is empty, and nothing is gathered.
    """

    def norm_1(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """Normalise what enters the attention."""
        return x if self.block.attn is None else self.block.ln_1(x)

    def qkv(self, x: Float[Tensor, "b n c"], wanted: str = LETTERS) -> tuple[Float[Tensor, "b heads n e"], ...]:
        """Project normalised tokens to queries, keys and values of each head that was left."""
        if self.block.attn is None:
            return tuple(x.new_empty(len(x), 0, x.shape[1], 1) for _ in wanted)
        return super().qkv(x, wanted)

    def out(self, mixed: Float[Tensor, "b heads n e"]) -> Float[Tensor, "b n c"]:
        """Project what the heads gathered back to tokens; zeros where there are none."""
        if self.block.attn is None:
            return mixed.new_zeros(mixed.shape[0], mixed.shape[2], self.block.width)
        return super().out(mixed)

    def norm_2(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """Normalise what enters the feed-forward layers."""
        return x if self.block.mlp is None else self.block.ln_2(x)

    def mlp(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """Apply the feed-forward layers; zeros where there are none."""
        return torch.zeros_like(x) if self.block.mlp is None else super().mlp(x)


class FreeAttention(nn.Module):
    """Self-attention whose heads together may be narrower or wider than the tokens.

    Args:
        width: of the tokens.
        inner: width of all heads together.
        head_dim: width of a head.
    """

    def __init__(self, width: int, inner: int, head_dim: int) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.in_proj_weight = nn.Parameter(torch.randn(3 * inner, width) * width**-0.5)
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * inner))
        self.out_proj = nn.Linear(inner, width)

    def forward(self, x: Float[Tensor, "b n c"], attn_mask: Float[Tensor, "n n"] | None = None) -> Tensor:
        """Attend, under a mask that is added to the logits."""
        heads = F.linear(x, self.in_proj_weight, self.in_proj_bias).unflatten(-1, (3, -1, self.head_dim))
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=attn_mask)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


class FreeBlock(nn.Module):
    """``x + attn(ln_1(x))`` and then ``x + mlp(ln_2(x))``, either of which may be missing; named as in open_clip.

    Args:
        width: of the tokens.
        inner: width of all heads together; 0 for no attention.
        units: of the feed-forward layers; 0 for none.
        head_dim: width of a head.
        activation: between the feed-forward layers.
    """

    view_type: type[FreeView] = FreeView

    def __init__(
        self, width: int, inner: int, units: int, head_dim: int, activation: Callable[[], nn.Module] = nn.GELU
    ) -> None:
        super().__init__()
        self.width = width
        self.ln_1 = LayerNorm(width) if inner else None
        self.attn = FreeAttention(width, inner, head_dim) if inner else None
        self.ln_2 = LayerNorm(width) if units else None
        self.mlp = feed_forward(width, units, activation) if units else None
        self.ls_1 = self.ls_2 = nn.Identity()

    @property
    def view(self) -> Block:
        """The block as readers run it."""
        return self.view_type(self)

    def forward(self, x: Float[Tensor, "b n c"], attn_mask: Float[Tensor, "n n"] | None = None) -> Tensor:
        """Run the block whole."""
        if self.ln_1 is not None and self.attn is not None:
            x = x + self.attn(self.ln_1(x), attn_mask)
        if self.ln_2 is not None and self.mlp is not None:
            x = x + self.mlp(self.ln_2(x))
        return x


def feed_forward(width: int, units: int, activation: Callable[[], nn.Module]) -> nn.Sequential:
    """Two linear layers with an activation between them, named as in open_clip."""
    layers = nn.Sequential()
    layers.add_module("c_fc", nn.Linear(width, units))
    layers.add_module("gelu", activation())
    layers.add_module("c_proj", nn.Linear(units, width))
    return layers


class FreeTransformer(nn.Module):
    """Blocks of free shape in the place of open_clip's ``Transformer``.

    Args:
        blocks: first to last.
        width: of the tokens.
    """

    batch_first = True

    def __init__(self, blocks: list[nn.Module], width: int) -> None:
        super().__init__()
        self.width, self.layers = width, len(blocks)
        self.resblocks = nn.ModuleList(blocks)

    def get_cast_dtype(self) -> torch.dtype:
        """Dtype of the weights."""
        return next(self.parameters()).dtype

    def forward(self, x: Float[Tensor, "b n c"], attn_mask: Float[Tensor, "n n"] | None = None) -> Tensor:
        """Run all blocks."""
        for block in self.resblocks:
            x = block(x, attn_mask)
        return x


def free_block(state: State, width: int, config: Mapping[str, Any], activation: Callable[[], nn.Module]) -> nn.Module:
    """A block with the shapes of its tensors.

    Args:
        state: tensors of the block by their names in it.
        width: of the tokens.
        config: of the tower; ``head_width`` is read.
        activation: between the feed-forward layers.

    Raises:
        UsageError: where the attention is not made of heads of this width.
    """
    head_dim = int(config.get("head_width", HEAD_WIDTH))
    inner = len(state["attn.in_proj_weight"]) if "attn.in_proj_weight" in state else 0
    if inner % (3 * head_dim):
        raise UsageError(
            f"an attention of {inner} rows is not made of queries, keys and values of heads of {head_dim}; "
            "set head_width in the architecture"
        )
    units = len(state["mlp.c_fc.weight"]) if "mlp.c_fc.weight" in state else 0
    return FreeBlock(width, inner // 3, units, head_dim, activation)


BlockBuilder = Callable[[State, int, Mapping[str, Any], Callable[[], nn.Module]], nn.Module]


def build_free_image(
    config: Mapping[str, Any],
    embed_dim: int,
    state: State,
    quick_gelu: bool,
    block: BlockBuilder = free_block,
) -> nn.Module:
    """open_clip's ViT around blocks of free shape.

    Args:
        config: open_clip's ``vision_cfg``, without what the tensors say (``width``, ``layers``, ``mlp_ratio``); and
            ``stem``, the channels of the convolutions in the place of a linear patch embedding.
        embed_dim: width of the joint space.
        state: the tensors that the tower will be filled with.
        quick_gelu: whether the activation is QuickGELU.
        block: builds a block of its tensors.

    Raises:
        UsageError: where there are no tensors to read shapes from, or they do not fit the architecture.
    """
    width = _width(state, "class_embedding")
    given = {key: value for key, value in config.items() if key not in ("stem", "top_k")}
    visual: Any = _build_vision_tower(embed_dim, {**given, "width": width, "layers": 1}, quick_gelu)
    if config.get("stem"):
        visual.conv1 = ConvStem(width, tuple(config["stem"]["channels"]))
    visual.transformer = _transformer(state, width, config, quick_gelu, block)
    return visual


def build_free_text(
    config: Mapping[str, Any],
    embed_dim: int,
    state: State,
    quick_gelu: bool,
    block: BlockBuilder = free_block,
) -> nn.Module:
    """open_clip's text tower around blocks of free shape.

    Args:
        config: open_clip's ``text_cfg``, without what the tensors say (``width``, ``heads``, ``layers``, ``vocab_size``
            and ``context_length``), with the ``head_width``.
        embed_dim: width of the joint space.
        state: the tensors that the tower will be filled with.
        quick_gelu: whether the activation is QuickGELU.
        block: builds a block of its tensors.

    Raises:
        UsageError: where there are no tensors to read shapes from, or they do not fit the architecture.
    """
    width = _width(state, "ln_final.weight")
    given = {key: value for key, value in config.items() if key not in ("head_width", "top_k")}
    given |= {"width": width, "heads": 1, "layers": 1}
    given |= {"vocab_size": len(state["token_embedding.weight"]), "context_length": len(state["positional_embedding"])}
    text: Any = _build_text_tower(embed_dim, given, quick_gelu)
    text.transformer = _transformer(state, width, config, quick_gelu, block)
    return text


def _transformer(
    state: State, width: int, config: Mapping[str, Any], quick_gelu: bool, block: BlockBuilder
) -> FreeTransformer:
    """The blocks of a tower."""
    of_blocks: dict[int, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        match = re.fullmatch(r"transformer\.resblocks\.(\d+)\.(.+)", name)
        if match:
            of_blocks.setdefault(int(match[1]), {})[match[2]] = tensor
    other = next((key for key in UNKNOWN if config.get(key)), None)
    if other is not None:
        raise UsageError(f"blocks of free shape have no {other}; leave it out of the architecture")
    count = max(of_blocks, default=-1) + 1
    if not count:
        raise UsageError("a tower of free shape has no tensor of a block; give weights of such a tower")
    activation = QuickGELU if quick_gelu else nn.GELU
    blocks = [block(of_blocks.get(index, {}), width, config, activation) for index in range(count)]
    return FreeTransformer(blocks, width)


def _width(state: State, name: str) -> int:
    """Width of the tokens, which a tensor of the tower tells."""
    if name not in state:
        raise UsageError(
            f"a tower of free shape takes its shapes from weights, and there is no tensor {name}; give a file of such "
            "a tower, not random weights"
        )
    return len(state[name])
