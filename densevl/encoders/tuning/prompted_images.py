"""An image tower with learnt tokens: all that reads the tower reads it with them.

The learnt tokens are the last of the prefix, so that patches still come last. Attention knows no order, so that this is
exactly what the published codes compute, which put them behind the patches. What is pooled is pooled without them.
"""

from collections.abc import Sequence
from copy import copy
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from densevl.core.attention import LETTERS, Block, run_blocks
from densevl.core.errors import UsageError
from densevl.core.geometry import Size
from densevl.encoders.contracts import ExtensibleTower, ImageTower
from densevl.encoders.tuning.learnt_tokens import LearntTokens, check_depth

__all__ = ["PromptedBlock", "PromptedImages"]


class PromptedBlock:
    """A block with learnt tokens, behind which those of the next block enter.

    Args:
        block: the block; one with places of its own is told of the longer prefix.
        place: of the block.
        start: tokens before the learnt ones.
        learnt: the learnt tokens.
        last: whether no block follows.
    """

    def __init__(self, block: Block, place: int, start: int, learnt: LearntTokens, last: bool) -> None:
        if hasattr(block, "prefix"):
            block = copy(block)
            block.prefix = start + learnt.held(place)  # type: ignore[attr-defined]
        self.block = block
        self.behind = None if last else partial(learnt.renewed, place + 1, start=start)

    def __getattr__(self, name: str) -> Any:
        """What only some blocks have, such as a rotary embedding."""
        return getattr(self.__dict__["block"], name)

    def norm_1(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """Normalise what enters the attention."""
        return self.block.norm_1(x)

    def qkv(self, x: Float[Tensor, "b n c"], wanted: str = LETTERS) -> tuple[Float[Tensor, "b heads n e"], ...]:
        """Project normalised tokens to queries, keys and values of each head."""
        return self.block.qkv(x, wanted)

    def out(self, mixed: Float[Tensor, "b heads n e"]) -> Float[Tensor, "b n c"]:
        """Project what the heads gathered back to tokens."""
        return self.block.out(mixed)

    def norm_2(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """Normalise what enters the feed-forward layers."""
        return self.block.norm_2(x)

    def mlp(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """Apply the feed-forward layers."""
        return self.block.mlp(x)


class PromptedImages:
    """An image tower with learnt tokens, as :class:`densevl.encoders.contracts.ImageTower`.

    Args:
        tower: a transformer that does not pool by an attention of its own; it is referred to, not copied.
        learnt: the learnt tokens, as wide as those of the tower.

    Attributes:
        prefix: number of tokens before the patches that enter the last block.

    Raises:
        UsageError: where the tower cannot take further tokens, or has fewer blocks than have learnt ones.
    """

    def __init__(self, tower: ImageTower, learnt: LearntTokens) -> None:
        if isinstance(tower, PromptedImages):
            raise UsageError("this image tower has learnt tokens already; tune an encoder without them")
        if not isinstance(tower, ExtensibleTower):
            raise UsageError(
                f"an image tower of {type(tower).__name__} takes no learnt tokens; tune a vision transformer of "
                "open_clip or timm, such as ViT-B-16"
            )
        tower.entering(torch.zeros(1, tower.width, dtype=tower.dtype, device=_device(tower)))  # refuses some towers
        check_depth(learnt.depth, tower.depth, "image")
        self.tower, self.learnt = tower, learnt
        self.width, self.depth, self.dim, self.patch_size = tower.width, tower.depth, tower.dim, tower.patch_size
        self.prefix = tower.prefix + learnt.held(tower.depth - 1)

    @property
    def size(self) -> Size:
        """(height, width) of the images that it was trained with."""
        return self.tower.size

    @property
    def dtype(self) -> torch.dtype:
        """Dtype that images enter in."""
        return self.tower.dtype

    def blocks_on(self, grid: Size, positions: str = "size") -> Sequence[Block]:
        """The blocks, first to last, as they run on a patch grid; see the contract."""
        blocks = self.tower.blocks_on(grid, positions)
        start, last = self.tower.prefix, len(blocks) - 1
        return [PromptedBlock(block, place, start, self.learnt, place == last) for place, block in enumerate(blocks)]

    def tokens(self, images: Float[Tensor, "b _ H W"], positions: str = "size") -> tuple[Float[Tensor, "b n c"], Size]:
        """Prefix, learnt tokens and patches that enter the first block, and the patch grid."""
        x, grid = self.tower.tokens(images, positions)
        learnt = self.tower.entering(self.learnt.of(0).to(x)).expand(len(x), -1, -1)
        start = self.tower.prefix
        return torch.cat([x[:, :start], learnt, x[:, start:]], dim=1), grid

    def head(self) -> tuple[nn.LayerNorm, Tensor]:
        """The last normalisation and the projection to the joint space (c, d)."""
        return self.tower.head()

    def to_joint(self, tokens: Float[Tensor, "b n c"]) -> Float[Tensor, "b n d"]:
        """Each token by itself in the joint space."""
        return self.tower.to_joint(tokens)

    def pool(self, tokens: Float[Tensor, "b n c"]) -> Float[Tensor, "b d"]:
        """Embeddings of whole images, not normalised, from the tokens behind the last block without the learnt ones."""
        return self.tower.pool(torch.cat([tokens[:, : self.tower.prefix], tokens[:, self.prefix :]], dim=1))

    def embed(self, images: Float[Tensor, "b _ H W"]) -> Float[Tensor, "b d"]:
        """Embeddings of whole normalised images of the native size, not normalised."""
        x, grid = self.tokens(images)
        return self.pool(run_blocks(self.blocks_on(grid), x))


def _device(tower: Any) -> torch.device:
    module = getattr(tower, "visual", None) or getattr(tower, "trunk", tower)
    return next(module.parameters()).device
