"""Image towers of timm: a ``VisionTransformer`` as SigLIP, LaCLIP, SLIP or MobileCLIP-B have it, and its blocks.

Sources: Zhai et al., Sigmoid Loss for Language Image Pre-Training, ICCV 2023, https://arxiv.org/abs/2303.15343, for the
tower without a class token that pools by attention (a MAP head); Fan et al., Improving CLIP Training with Language
Rewrites (LaCLIP), NeurIPS 2023, https://arxiv.org/abs/2305.20088, with queries and keys that are normalised head by
head; Vasu et al., MobileCLIP, CVPR 2024, https://arxiv.org/abs/2311.17049, whose variant B has a convolutional stem.

Where a tower pools by attention, a patch n is embedded by giving it alone to the head: attention over one token leaves
its value, whatever the query is, so that::

    y = W_o (W_v n + b_v) + b_o
    y = y + mlp(norm(y))

Convention: tokens are "b n c"; the prefix (class token, registers) comes first, and a position embedding may have no
rows for it.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from timm.layers import Attention, AttentionPoolLatent, Mlp
from timm.models import VisionTransformer
from timm.models.vision_transformer import Block as TimmViTBlock
from torch import Tensor, nn

from densevl.core import attention
from densevl.core.attention import LETTERS, Block, linear, project_heads, run_blocks
from densevl.core.errors import UsageError
from densevl.core.geometry import Size
from densevl.encoders.towers.positions import PositionTable

__all__ = ["TimmBlock", "TimmTower", "check_blocks", "feed_forward", "output_width"]


class TimmBlock:
    """A block of timm's ViT as :class:`densevl.core.attention.Block`; it is referred to, not copied."""

    def __init__(self, block: Any) -> None:
        self.block = block

    def norm_1(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """Normalise what enters the attention."""
        return self.block.norm1(x)

    def qkv(self, x: Float[Tensor, "b n c"], wanted: str = LETTERS) -> tuple[Float[Tensor, "b heads n e"], ...]:
        """Project normalised tokens to queries, keys and values of each head; heads are normalised where timm does."""
        attn = self.block.attn
        norms = {"q": attn.q_norm, "k": attn.k_norm, "v": nn.Identity()}
        found = project_heads(x, attn.qkv.weight, attn.qkv.bias, attn.head_dim, wanted)
        return tuple(norms[letter](heads) for letter, heads in zip(wanted, found, strict=True))

    def out(self, mixed: Float[Tensor, "b heads n e"]) -> Float[Tensor, "b n c"]:
        """Normalise what the heads gathered where timm does, and project it back to tokens, layer scale included."""
        return self.block.ls1(self.project(mixed))

    def project(self, mixed: Float[Tensor, "b heads n e"]) -> Float[Tensor, "b n c"]:
        """The same before layer scale."""
        attn = self.block.attn
        return linear(attn.norm(mixed.transpose(1, 2).flatten(2)), attn.proj.weight, attn.proj.bias)

    def norm_2(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """Normalise what enters the feed-forward layers."""
        return self.block.norm2(x)

    def mlp(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """Apply the feed-forward layers, layer scale included."""
        return self.block.ls2(feed_forward(self.block.mlp, x))


def feed_forward(mlp: nn.Module, x: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
    """Feed-forward layers of timm; the plain kind, two linear layers, runs as open_clip's do.

    Args:
        mlp: ``timm.layers.Mlp`` or another kind.
        x: normalised tokens.
    """
    layers: Any = mlp
    if type(mlp) is not Mlp or not isinstance(layers.fc1, nn.Linear):
        return mlp(x)
    return attention.feed_forward(x, layers.fc1, layers.act, layers.fc2, layers.norm)


class TimmTower:
    """A ViT of timm with the head that leads to the joint space, run from its pieces.

    Dropout of patches and tokens is left out, also where the model is being trained.

    Args:
        trunk: the ViT; it is referred to, not copied.
        head: what follows the trunk's own pooling and head, such as a projection.

    Raises:
        UsageError: where the trunk is another kind of model.
    """

    def __init__(self, trunk: Any, head: nn.Module) -> None:
        self._check(trunk)
        self.trunk = trunk
        self.last = head
        self.width: int = trunk.embed_dim
        self.depth: int = len(trunk.blocks)
        self.dim: int = output_width([trunk.head, head], self.width)
        self.patch_size: int = _patch_size(trunk)
        self.prefix: int = trunk.num_prefix_tokens
        self._positions = PositionTable(prefix=0 if trunk.no_embed_class else self.prefix)

    def blocks_on(self, grid: Size, positions: str = "size") -> Sequence[Block]:
        """The blocks, first to last; no places enter in them, so that they are the same on every grid."""
        return [TimmBlock(block) for block in self.trunk.blocks]

    @property
    def size(self) -> Size:
        """(height, width) of the images that it was trained with."""
        return tuple(self.trunk.patch_embed.img_size)

    @property
    def dtype(self) -> torch.dtype:
        """Dtype that images enter in."""
        return next(self.trunk.patch_embed.parameters()).dtype

    def tokens(self, images: Float[Tensor, "b 3 H W"], positions: str = "size") -> tuple[Float[Tensor, "b n c"], Size]:
        """Prefix and patch tokens that enter the first block, and the patch grid.

        Args:
            images: normalised; sides divisible by the patch size.
            positions: how the position embedding is resized, one of :data:`densevl.encoders.contracts.POSITIONS`.
        """
        trunk = self.trunk
        embed = trunk.patch_embed
        patches = embed.proj(embed.backbone(images) if hasattr(embed, "backbone") else images)
        grid = (patches.shape[2], patches.shape[3])
        x = getattr(embed, "norm", nn.Identity())(patches.flatten(2).mT)
        first = [
            token.expand(x.shape[0], -1, -1).to(x.dtype)
            for token in (trunk.cls_token, trunk.reg_token)
            if token is not None
        ]
        if trunk.pos_embed is None:
            return trunk.norm_pre(torch.cat([*first, x], 1)), grid
        embedding = self._positions.resized(trunk.pos_embed[0], tuple(embed.grid_size), grid, x.dtype, positions)
        x = torch.cat([*first, x + embedding], 1) if trunk.no_embed_class else torch.cat([*first, x], 1) + embedding
        return trunk.norm_pre(x), grid

    def entering(self, tokens: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
        """Further tokens, as they enter the first block.

        Raises:
            UsageError: where the model pools by an attention of its own.
        """
        if self.trunk.attn_pool is not None:
            raise UsageError(
                "this image tower pools its patches by an attention of its own, which learnt tokens cannot join; take "
                "one that reads a class token or a mean, such as ViT-B-16"
            )
        return self.trunk.norm_pre(tokens)

    def to_joint(self, tokens: Float[Tensor, "b n c"]) -> Float[Tensor, "b n d"]:
        """Each token by itself in the joint space: last normalisation, the pooling attention on it alone, head."""
        trunk = self.trunk
        x = trunk.norm(tokens)
        if trunk.attn_pool is not None:
            x = _pooled_alone(trunk.attn_pool, x)
        return self.last(trunk.head(trunk.fc_norm(x)))

    def head(self) -> tuple[nn.LayerNorm, Tensor]:
        """The last normalisation and the projection to the joint space (c, d).

        Raises:
            UsageError: where more than these two leads there, such as a pooling attention or a bias.
        """
        trunk = self.trunk
        norms = [norm for norm in (trunk.norm, trunk.fc_norm) if not isinstance(norm, nn.Identity)]
        layers = [layer for part in (trunk.head, self.last) for layer in part.modules() if _counts(layer)]
        norm, projection = norms[0] if len(norms) == 1 else None, layers[0] if len(layers) == 1 else None
        if trunk.attn_pool is not None or norm is None or not isinstance(projection, nn.Linear):
            raise UsageError(
                f"more than a normalisation and a projection leads from the tokens of this {type(trunk).__name__} to "
                "the joint space, such as a pooling attention; take a CLIP without, such as ViT-B-16"
            )
        if projection.bias is not None:
            raise UsageError("the projection of this image tower has a bias; take a CLIP without, such as ViT-B-16")
        return norm, projection.weight.mT

    def pool(self, tokens: Float[Tensor, "b n c"]) -> Float[Tensor, "b d"]:
        """Embeddings of whole images, not normalised, from the tokens behind the last block."""
        return self.last(self.trunk.forward_head(self.trunk.norm(tokens)))

    def embed(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b d"]:
        """Embeddings of whole normalised images of the native size, not normalised."""
        x, grid = self.tokens(images)
        return self.pool(run_blocks(self.blocks_on(grid), x))

    def _check(self, trunk: Any) -> None:
        """Refuse a trunk of another kind."""
        if not isinstance(trunk, VisionTransformer) or trunk.pos_embed is None:
            raise UsageError(
                "the image tower must be a VisionTransformer of timm with a position embedding, such as "
                f"vit_base_patch16_siglip_224; got {type(trunk).__name__}"
            )
        check_blocks(trunk, {TimmViTBlock}, {Attention})


def _pooled_alone(pool: Any, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
    """What the pooling attention makes of each token alone; the usual kind without the attention that drops out."""
    if type(pool) is not AttentionPoolLatent or pool.pos_embed is not None or pool.latent_len != 1 or pool.mlp is None:
        return pool(x.flatten(0, 1)[:, None]).unflatten(0, x.shape[:2])
    bias = None if pool.kv.bias is None else pool.kv.bias.chunk(2)[1]
    x = pool.proj(nn.functional.linear(x, pool.kv.weight.chunk(2)[1], bias))
    return x + feed_forward(pool.mlp, pool.norm(x))


def output_width(parts: Sequence[nn.Module], width: int) -> int:
    """Width of what leaves parts that follow each other, such as a head.

    Args:
        parts: of linear layers and others that keep the width.
        width: of what enters.
    """
    layers = [layer for part in parts for layer in part.modules() if isinstance(layer, nn.Linear)]
    return layers[-1].out_features if layers else width


def _counts(layer: nn.Module) -> bool:
    """True for a layer of a head that changes vectors by itself."""
    return not isinstance(layer, nn.Identity | nn.Dropout | nn.Sequential)


def _patch_size(trunk: Any) -> int:
    """Side of a patch in pixels, behind the stem if any."""
    sides = trunk.patch_embed.feat_ratio(as_scalar=False)
    if sides[0] != sides[1]:
        raise UsageError(f"patches must be square; got {tuple(sides)}")
    return int(sides[0])


def check_blocks(trunk: Any, known: set[type], attentions: set[type]) -> None:
    """Refuse blocks of another kind, attention of another kind, and attention gated by what enters it.

    Args:
        trunk: with ``blocks``.
        known: classes of blocks.
        attentions: classes of their attention.

    Raises:
        UsageError: with the classes that are known and those that came.
    """
    strange = {type(block).__name__ for block in trunk.blocks if type(block) not in known}
    if not strange:
        strange = {type(block.attn).__name__ for block in trunk.blocks if type(block.attn) not in attentions}
    if not strange and any(block.attn.gate is not None for block in trunk.blocks):
        strange = {"gates"}
    if strange:
        names, kinds = (" or ".join(sorted(kind.__name__ for kind in each)) for each in (known, attentions))
        raise UsageError(
            f"the blocks of the image tower must be timm's {names} with {kinds} without gates; got "
            f"{', '.join(sorted(strange))}"
        )
