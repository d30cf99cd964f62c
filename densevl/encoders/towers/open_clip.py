"""Image towers of open_clip: a ViT for images of any size, and its blocks.

Convention: tokens are "b n c", whatever layout (``batch_first`` or not) a block was built for.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from densevl.core.attention import LETTERS, Block, feed_forward, linear, project_heads, run_blocks
from densevl.core.class_names import class_names
from densevl.core.errors import UsageError
from densevl.core.geometry import Size
from densevl.encoders.towers.positions import PositionTable

__all__ = ["OpenClipBlock", "OpenClipTower", "block_view", "is_readable", "is_standard"]

STANDARD_BLOCKS = ("densevl.encoders.plain.PlainBlock", "open_clip.transformer.ResidualAttentionBlock")
STANDARD_TOWERS = {"densevl.encoders.plain.PlainViT", "open_clip.transformer.VisionTransformer"}
"""Classes by name, so that open_clip is not imported where nothing is of it."""


class OpenClipBlock:
    """A block of an open_clip transformer as :class:`densevl.core.attention.Block`; it is referred to, not copied."""

    def __init__(self, block: Any) -> None:
        self.block = block

    def norm_1(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """Normalise what enters the attention."""
        return self.block.ln_1(x)

    def qkv(self, x: Float[Tensor, "b n c"], wanted: str = LETTERS) -> tuple[Float[Tensor, "b heads n e"], ...]:
        """Project normalised tokens to queries, keys and values of each head; only what is wanted is computed.

        The number of heads is that of the rows of the projection: an attention may be narrower than the tokens.
        """
        attn = self.block.attn
        return project_heads(x, attn.in_proj_weight, attn.in_proj_bias, attn.head_dim, wanted)

    def out(self, mixed: Float[Tensor, "b heads n e"]) -> Float[Tensor, "b n c"]:
        """Project what the heads gathered back to tokens, layer scale included."""
        return self.block.ls_1(self.project(mixed))

    def project(self, mixed: Float[Tensor, "b heads n e"]) -> Float[Tensor, "b n c"]:
        """The same before layer scale."""
        projection = self.block.attn.out_proj
        return linear(mixed.transpose(1, 2).flatten(2), projection.weight, projection.bias)

    def norm_2(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """Normalise what enters the feed-forward layers."""
        return self.block.ln_2(x)

    def mlp(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """Apply two linear layers with the block's activation between them, layer scale included."""
        mlp = self.block.mlp
        return self.block.ls_2(feed_forward(x, mlp.c_fc, mlp.gelu, mlp.c_proj))


def is_readable(block: nn.Module) -> bool:
    """True for a standard block, and for one that brings a view of its own."""
    return is_standard(block) or hasattr(block, "view")


def is_standard(block: nn.Module) -> bool:
    """True for the block of CLIP, as open_clip or densevl builds it."""
    return class_names(type(block))[0] in STANDARD_BLOCKS


def block_view(block: Any) -> Block:
    """A block as readers run it: the view that it brings itself, or that of open_clip's blocks."""
    view = getattr(block, "view", None)
    return OpenClipBlock(block) if view is None else view


class OpenClipTower:
    """The ViT of an open_clip model, run from its pieces.

    Patch dropout is left out, also where the model is being trained.

    Args:
        visual: the tower; it is referred to, not copied.

    Raises:
        UsageError: where the tower is not a ViT of square patches and standard blocks.
    """

    prefix = 1

    def __init__(self, visual: Any) -> None:
        _check_tower(visual)
        self.visual = visual
        self.width: int = visual.transformer.width
        self.depth: int = len(visual.transformer.resblocks)
        self.dim: int = visual.output_dim
        self.patch_size: int = visual.patch_size[0]
        self._positions = PositionTable(prefix=self.prefix)

    def blocks_on(self, grid: Size, positions: str = "size") -> Sequence[Block]:
        """The blocks, first to last; no places enter in them, so that they are the same on every grid."""
        return [block_view(block) for block in self.visual.transformer.resblocks]

    @property
    def size(self) -> Size:
        """(height, width) of the images that it was trained with."""
        return tuple(self.visual.image_size)

    @property
    def dtype(self) -> torch.dtype:
        """Dtype that images enter in."""
        return self.visual.transformer.get_cast_dtype()

    def tokens(self, images: Float[Tensor, "b _ H W"], positions: str = "size") -> tuple[Float[Tensor, "b n c"], Size]:
        """Class token and patch tokens that enter the first block, and the patch grid.

        Args:
            images: normalised; sides divisible by the patch size.
            positions: how the position embedding is resized, one of :data:`densevl.encoders.contracts.POSITIONS`.
        """
        patches = self.visual.conv1(images)
        grid = (patches.shape[2], patches.shape[3])
        native = self.visual.positional_embedding
        embedding = self._positions.resized(native, tuple(self.visual.grid_size), grid, patches.dtype, positions)
        first = (self.visual.class_embedding.to(patches.dtype) + embedding[0]).expand(patches.shape[0], 1, -1)
        x = torch.cat([first, patches.flatten(2).mT + embedding[1:]], dim=1)
        return self.visual.ln_pre(x), grid

    def entering(self, tokens: Float[Tensor, "*b c"]) -> Float[Tensor, "*b c"]:
        """Further tokens, as they enter the first block.

        Raises:
            UsageError: where the model pools by an attention of its own.
        """
        self._check_pooling()
        return self.visual.ln_pre(tokens)

    def to_joint(self, tokens: Float[Tensor, "*b c"]) -> Float[Tensor, "*b d"]:
        """Each token by itself in the joint space: last normalisation and projection.

        Raises:
            UsageError: where the model pools by an attention of its own, so that a patch has no place in that space.
        """
        self._check_pooling()
        return self._project(self.visual.ln_post(tokens))

    def _check_pooling(self) -> None:
        if self.visual.attn_pool is not None:
            raise UsageError(
                "this CLIP pools its patches by attention, so they have no embedding of their own; "
                "take a model without attention pooling, such as ViT-B-16"
            )

    def head(self) -> tuple[nn.LayerNorm, Tensor]:
        """The last normalisation and the projection to the joint space (c, d).

        Raises:
            UsageError: where the model pools by an attention of its own.
        """
        self._check_pooling()
        return self.visual.ln_post, self.visual.proj

    def embed(self, images: Float[Tensor, "b _ H W"]) -> Float[Tensor, "b d"]:
        """Embeddings of whole normalised images of the native size, not normalised; equal to ``visual(images)``."""
        if self.visual.attn_pool is not None:
            pooled = self.visual(images)
            return pooled[0] if isinstance(pooled, tuple) else pooled
        x, grid = self.tokens(images)
        return self.pool(run_blocks(self.blocks_on(grid), x))

    def pool(self, tokens: Float[Tensor, "b n c"]) -> Float[Tensor, "b d"]:
        """Embeddings of whole images, not normalised, from the tokens behind the last block.

        Raises:
            UsageError: where the model pools by an attention of its own.
        """
        visual = self.visual
        if visual.pool_type == "tok":
            return self.to_joint(tokens[:, 0])
        if visual.final_ln_after_pool:
            return self.to_joint(tokens[:, 1:].mean(dim=1))
        return self._project(visual.ln_post(tokens[:, 1:]).mean(dim=1))

    def _project(self, tokens: Float[Tensor, "*b c"]) -> Float[Tensor, "*b d"]:
        return tokens if self.visual.proj is None else tokens @ self.visual.proj


def _check_tower(visual: Any) -> None:
    if STANDARD_TOWERS.isdisjoint(class_names(type(visual))):
        raise UsageError(f"the image tower must be a ViT of open_clip; got {type(visual).__name__}")
    if visual.patch_size[0] != visual.patch_size[1]:
        raise UsageError(f"patches must be square; got {visual.patch_size}")
    blocks = visual.transformer.resblocks
    strange = {type(block).__name__ for block in blocks if not is_readable(block)}
    if strange:
        raise UsageError(f"the blocks of the image tower must be ResidualAttentionBlock; got {', '.join(strange)}")
