"""Image towers of timm: a ``VisionTransformer`` as SigLIP, LaCLIP or DeiT III have it, and its blocks.

Source: Zhai et al., Sigmoid Loss for Language Image Pre-Training, ICCV 2023, https://arxiv.org/abs/2303.15343, for the
tower without a class token that pools by attention (a MAP head). There a patch is embedded by giving it alone to the
head: attention over one token leaves its value.

Convention: tokens are "b n c"; the prefix (class token, registers) comes first, and a position embedding may have no
rows for it.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from timm.models import VisionTransformer
from timm.models.vision_transformer import Block as TimmViTBlock
from torch import Tensor, nn

from densevl.core.attention import Block, linear, run_block
from densevl.core.errors import UsageError
from densevl.core.geometry import Size
from densevl.encoders.towers.positions import PositionTable

__all__ = ["TimmBlock", "TimmTower"]

LETTERS = "qkv"


class TimmBlock:
    """A block of timm's ViT as :class:`densevl.core.attention.Block`; it is referred to, not copied."""

    def __init__(self, block: TimmViTBlock) -> None:
        self.block: Any = block

    def norm_1(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """Normalise what enters the attention."""
        return self.block.norm1(x)

    def qkv(self, x: Float[Tensor, "b n c"], wanted: str = LETTERS) -> tuple[Float[Tensor, "b heads n e"], ...]:
        """Project normalised tokens to queries, keys and values of each head; heads are normalised where timm does."""
        attn = self.block.attn
        projected = linear(x, attn.qkv.weight, attn.qkv.bias)
        query, key, value = projected.unflatten(-1, (3, attn.num_heads, -1)).permute(2, 0, 3, 1, 4)
        heads = {"q": attn.q_norm(query), "k": attn.k_norm(key), "v": value}
        return tuple(heads[letter] for letter in wanted)

    def out(self, mixed: Float[Tensor, "b heads n e"]) -> Float[Tensor, "b n c"]:
        """Project what the heads gathered back to tokens, layer scale included."""
        attn = self.block.attn
        return self.block.ls1(linear(attn.norm(mixed.transpose(1, 2).flatten(2)), attn.proj.weight, attn.proj.bias))

    def norm_2(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """Normalise what enters the feed-forward layers."""
        return self.block.norm2(x)

    def mlp(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """Apply the feed-forward layers, layer scale included."""
        return self.block.ls2(self.block.mlp(x))


class TimmTower:
    """A ViT of timm with the head that leads to the joint space, run from its pieces.

    Dropout of patches and tokens is left out, also where the model is being trained.

    Args:
        trunk: the ViT; it is referred to, not copied.
        head: what follows the trunk's own pooling and head, such as a projection.

    Raises:
        UsageError: where the trunk is another kind of model.
    """

    def __init__(self, trunk: VisionTransformer, head: nn.Module) -> None:
        _check_trunk(trunk)
        self.trunk: Any = trunk
        self.last = head
        self.width: int = trunk.embed_dim
        self.dim: int = _head_width(trunk, head)
        self.patch_size: int = trunk.patch_embed.patch_size[0]
        self.prefix: int = trunk.num_prefix_tokens
        self._positions = PositionTable(prefix=0 if trunk.no_embed_class else self.prefix)

    @property
    def blocks(self) -> Sequence[Block]:
        """The blocks, first to last."""
        return [TimmBlock(block) for block in self.trunk.blocks]

    @property
    def size(self) -> Size:
        """(height, width) of the images that it was trained with."""
        return tuple(self.trunk.patch_embed.img_size)

    @property
    def dtype(self) -> torch.dtype:
        """Dtype that images enter in."""
        return self.trunk.patch_embed.proj.weight.dtype

    def tokens(self, images: Float[Tensor, "b 3 H W"], positions: str = "size") -> tuple[Float[Tensor, "b n c"], Size]:
        """Prefix and patch tokens that enter the first block, and the patch grid.

        Args:
            images: normalised; sides divisible by the patch size.
            positions: how the position embedding is resized, one of :data:`densevl.encoders.contracts.POSITIONS`.
        """
        trunk = self.trunk
        patches = trunk.patch_embed.proj(images)
        grid = (patches.shape[2], patches.shape[3])
        x = trunk.patch_embed.norm(patches.flatten(2).mT)
        first = [
            token.expand(x.shape[0], -1, -1).to(x.dtype)
            for token in (trunk.cls_token, trunk.reg_token)
            if token is not None
        ]
        native = tuple(trunk.patch_embed.grid_size)
        embedding = self._positions.resized(trunk.pos_embed[0], native, grid, x.dtype, positions)
        x = torch.cat([*first, x + embedding], 1) if trunk.no_embed_class else torch.cat([*first, x], 1) + embedding
        return trunk.norm_pre(x), grid

    def to_joint(self, tokens: Float[Tensor, "b n c"]) -> Float[Tensor, "b n d"]:
        """Each token by itself in the joint space: last normalisation, the pooling attention on it alone, head."""
        trunk = self.trunk
        x = trunk.norm(tokens)
        if trunk.attn_pool is not None:
            x = trunk.attn_pool(x.flatten(0, 1)[:, None]).unflatten(0, x.shape[:2])
        return self.last(trunk.head(trunk.fc_norm(x)))

    def head(self) -> tuple[nn.LayerNorm, Tensor]:
        """Refused: what leads to the joint space is no single normalisation and projection.

        Raises:
            UsageError: always.
        """
        raise UsageError("a tower of timm has a head of its own; take a CLIP of open_clip, such as ViT-B-16")

    def pool(self, tokens: Float[Tensor, "b n c"]) -> Float[Tensor, "b d"]:
        """Embeddings of whole images, not normalised, from the tokens behind the last block."""
        return self.last(self.trunk.forward_head(self.trunk.norm(tokens)))

    def embed(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b d"]:
        """Embeddings of whole normalised images of the native size, not normalised."""
        x, _ = self.tokens(images)
        for block in self.blocks:
            x = run_block(block, x)["out"]
        return self.pool(x)


def _head_width(trunk: VisionTransformer, head: nn.Module) -> int:
    layers = [layer for layer in (*trunk.head.modules(), *head.modules()) if isinstance(layer, nn.Linear)]
    return layers[-1].out_features if layers else trunk.embed_dim


def _check_trunk(trunk: nn.Module) -> None:
    if not isinstance(trunk, VisionTransformer) or trunk.pos_embed is None:
        raise UsageError(
            "the image tower must be a VisionTransformer of timm with a position embedding, such as "
            f"vit_base_patch16_siglip_224; got {type(trunk).__name__}"
        )
    sides = trunk.patch_embed.patch_size
    if sides[0] != sides[1]:
        raise UsageError(f"patches must be square; got {sides}")
    strange = {type(block).__name__ for block in trunk.blocks if type(block) is not TimmViTBlock}
    if strange or any(getattr(block.attn, "gate", None) is not None for block in trunk.blocks):
        raise UsageError(f"the blocks of the image tower must be timm's Block without gates; got {strange or 'gates'}")
