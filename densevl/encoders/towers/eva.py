"""Image towers of timm's ``Eva``: EVA-01/02-CLIP and the Perception Encoder (PE-Core), with places in their blocks.

Sources: Fang et al., EVA-02: A Visual Representation for Neon Genesis, https://arxiv.org/abs/2303.11331 (rotary
embeddings, sub-normalisation inside attention and SwiGLU, no bias of keys), and Sun et al., EVA-CLIP,
https://arxiv.org/abs/2303.15389; Bolya et al., Perception Encoder, https://arxiv.org/abs/2504.13181 (positions and
rotary embeddings, normalisation before the blocks, pooling attention; its largest tower has no class token).

A rotary embedding turns queries and keys of the patches by angles of their places; the prefix is left alone. It belongs
to a grid, so that a view of a block carries that of its grid. Where a model was trained with a reference grid
(``ref_feat_shape``), places are scaled to it, whatever the size of the image.

The value path of a block with an inner normalisation is ``proj(norm(v))``: the normalisation belongs to
:meth:`EvaBlock.out`.

Convention: tokens are "b n c"; the prefix (class token, registers) comes first.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from timm.layers import AttentionRope, RotaryEmbeddingCat, apply_rot_embed_cat, build_rotary_pos_embed
from timm.models.eva import Eva, EvaAttention, EvaBlockPostNorm
from timm.models.eva import EvaBlock as TimmEvaBlock
from torch import Tensor, nn

from densevl.core.attention import LETTERS, Block, linear, project_heads
from densevl.core.errors import UsageError
from densevl.core.geometry import Size
from densevl.encoders.towers.positions import GRIDS_KEPT
from densevl.encoders.towers.timm import TimmTower, check_blocks, feed_forward

__all__ = ["EvaBlock", "EvaPostNormBlock", "EvaTower"]


class EvaBlock:
    """A block of timm's Eva as :class:`densevl.core.attention.Block`; it is referred to, not copied.

    Args:
        block: timm's, with ``EvaAttention`` or ``AttentionRope``.
        rope: sines and cosines of the places of a grid; None where places do not enter in the block.
        prefix: number of tokens before the patches, which are not rotated.
    """

    def __init__(self, block: Any, rope: Float[Tensor, "*heads n e2"] | None = None, prefix: int = 0) -> None:
        self.block, self.rope, self.prefix = block, rope, prefix

    def norm_1(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """Normalise what enters the attention."""
        return self.block.norm1(x)

    def qkv(self, x: Float[Tensor, "b n c"], wanted: str = LETTERS) -> tuple[Float[Tensor, "b heads n e"], ...]:
        """Queries, keys and values of each head, queries and keys of the patches rotated to their places.

        Args:
            x: normalised by :meth:`norm_1`; where queries or keys are wanted, the tokens of the whole grid.
            wanted: letters of those that are returned, in this order.
        """
        attn = self.block.attn
        if attn.qkv is None:
            found = tuple(self._project(x, letter) for letter in wanted)
        else:
            found = project_heads(x, attn.qkv.weight, _fused_bias(attn), attn.head_dim, wanted)
        return tuple(self._finished(heads, letter) for heads, letter in zip(found, wanted, strict=True))

    def _project(self, x: Float[Tensor, "b n c"], letter: str) -> Float[Tensor, "b heads n e"]:
        layer = getattr(self.block.attn, f"{letter}_proj")
        return linear(x, layer.weight, layer.bias).unflatten(-1, (-1, self.block.attn.head_dim)).transpose(1, 2)

    def _finished(self, heads: Float[Tensor, "b some n e"], letter: str) -> Float[Tensor, "b heads n e"]:
        """Normalise and rotate where timm does; fewer heads of keys and values than of queries are shared."""
        attn = self.block.attn
        if letter != "v":
            heads = self._rotated((attn.q_norm if letter == "q" else attn.k_norm)(heads))
        groups = 1 if letter == "q" else getattr(attn, "num_kv_groups", 1)
        return heads if groups == 1 else heads.repeat_interleave(groups, dim=1)

    def _rotated(self, heads: Float[Tensor, "b heads n e"]) -> Float[Tensor, "b heads n e"]:
        if self.rope is None:
            return heads
        prefix, patches = heads[:, :, : self.prefix], heads[:, :, self.prefix :]
        half = getattr(self.block.attn, "rotate_half", False)
        return torch.cat([prefix, apply_rot_embed_cat(patches, self.rope, half=half)], dim=2)

    def out(self, mixed: Float[Tensor, "b heads n e"]) -> Float[Tensor, "b n c"]:
        """Normalise what the heads gathered where timm does, and project it back to tokens, layer scale included."""
        tokens = self.project(mixed)
        return tokens if self.block.gamma_1 is None else self.block.gamma_1 * tokens

    def project(self, mixed: Float[Tensor, "b heads n e"]) -> Float[Tensor, "b n c"]:
        """The same before layer scale."""
        attn = self.block.attn
        return linear(attn.norm(mixed.transpose(1, 2).flatten(2)), attn.proj.weight, attn.proj.bias)

    def norm_2(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """Normalise what enters the feed-forward layers."""
        return self.block.norm2(x)

    def mlp(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """Apply the feed-forward layers, their inner normalisation and layer scale included."""
        hidden = feed_forward(self.block.mlp, x)
        return hidden if self.block.gamma_2 is None else self.block.gamma_2 * hidden


class EvaPostNormBlock(EvaBlock):
    """A block that normalises behind attention and behind its feed-forward layers, as EVA-02-CLIP E has them."""

    def norm_1(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """Nothing is normalised before."""
        return x

    def out(self, mixed: Float[Tensor, "b heads n e"]) -> Float[Tensor, "b n c"]:
        """Project what the heads gathered back to tokens, and normalise it."""
        return self.block.norm1(self.project(mixed))

    def norm_2(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """Nothing is normalised before."""
        return x

    def mlp(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """Apply the feed-forward layers, and normalise."""
        return self.block.norm2(feed_forward(self.block.mlp, x))


VIEWS: dict[type, type[EvaBlock]] = {TimmEvaBlock: EvaBlock, EvaBlockPostNorm: EvaPostNormBlock}


class EvaTower(TimmTower):
    """timm's Eva with the head that leads to the joint space, run from its pieces.

    Args:
        trunk: the model; it is referred to, not copied.
        head: what follows the trunk's own pooling and head, such as a projection.

    Raises:
        UsageError: where the trunk is another kind of model.
    """

    def __init__(self, trunk: Any, head: nn.Module) -> None:
        super().__init__(trunk, head)
        self._ropes: dict[Any, Tensor] = {}

    def blocks_on(self, grid: Size, positions: str = "size") -> Sequence[Block]:
        """The blocks, first to last, with the rotary embedding of a grid.

        Args:
            grid: patches (down, right).
            positions: not used: a rotary embedding is computed, not resized.
        """
        rope, count = self._rope(grid), len(self.trunk.blocks)
        ropes = rope if self.trunk.rope_mixed and rope is not None else [rope] * count
        return [
            VIEWS[type(block)](block, each, self.prefix) for block, each in zip(self.trunk.blocks, ropes, strict=True)
        ]

    def _rope(self, grid: Size) -> Tensor | None:
        """Sines and cosines of the places of a grid, for each block where the blocks differ; kept for a few grids."""
        module = self.trunk.rope
        if module is None:
            return None
        learned = next(module.parameters(), None) is not None
        if learned or torch.compiler.is_compiling():
            return _rope_on(module, grid)
        key = (grid, next(module.buffers()).device)
        if key not in self._ropes:
            while len(self._ropes) >= GRIDS_KEPT:
                self._ropes.pop(next(iter(self._ropes)))
            self._ropes[key] = _rope_on(module, grid)
        return self._ropes[key]

    def _check(self, trunk: Any) -> None:
        """Refuse a trunk of another kind."""
        if not isinstance(trunk, Eva):
            raise UsageError(
                f"the image tower must be an Eva of timm, such as eva02_base_patch16_clip_224; got "
                f"{type(trunk).__name__}"
            )
        check_blocks(trunk, set(VIEWS), {AttentionRope, EvaAttention})


def _rope_on(module: Any, grid: Size) -> Tensor:
    """The embedding of a grid, in float32; a module that keeps that of its native grid is not asked for another."""
    if not isinstance(module, RotaryEmbeddingCat):
        return module.get_embed(shape=list(grid))
    given = ("in_pixels", "ref_feat_shape", "grid_offset", "grid_indexing", "rotate_half", "grid_type")
    settings: dict[str, Any] = {name: getattr(module, name) for name in given}
    bands: Any = module.bands
    return torch.cat(build_rotary_pos_embed(list(grid), bands=bands, device=bands.device, **settings), dim=-1)


def _fused_bias(attn: Any) -> Tensor | None:
    """The bias of queries, keys and values together, where timm keeps it apart from their weights: keys have none."""
    if getattr(attn, "q_bias", None) is None:
        return attn.qkv.bias
    return torch.cat([attn.q_bias, attn.k_bias, attn.v_bias])
