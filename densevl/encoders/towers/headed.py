"""Towers of ours: what they share, a tower of a library under a head of its own, and the plainest such head.

Source of :class:`MeanTower`: Cao et al., FLAME: Frozen Large Language Models Enable Data-Efficient Language-Image
Pre-training, CVPR 2025, https://arxiv.org/abs/2411.11927, and MIV-XJTU/FLAME 4d2b9a9. With x the tokens behind the last
block::

    patch = LayerNorm(W_2 GELU(W_1 x + b_1) + b_2)        each by itself, in the joint space
    image = mean over the patches

The last norm and the projection of the ViT are in FLAME's files, and are not used.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from open_clip.model import _build_vision_tower
from torch import Tensor, nn

from densevl.core.attention import Block, run_blocks
from densevl.core.errors import UsageError
from densevl.core.geometry import Size
from densevl.encoders.contracts import ImageTower
from densevl.encoders.towers import image_tower

__all__ = ["HeadedTower", "MeanTower", "ModuleTower", "build_mean_tower"]


class ModuleTower(nn.Module, ABC):
    """An image tower that is a module of ours: what :class:`densevl.encoders.contracts.ImageTower` asks beside it.

    Attributes:
        no_head: the error where a single normalisation and projection to the joint space is wanted.
    """

    no_head = "this tower has a head of its own; take a CLIP of open_clip, such as ViT-B-16"

    @abstractmethod
    def blocks_on(self, grid: Size, positions: str = "size") -> Sequence[Block]:
        """The blocks, first to last, as they run on a patch grid."""

    @abstractmethod
    def tokens(self, images: Float[Tensor, "b 3 H W"], positions: str = "size") -> tuple[Float[Tensor, "b n c"], Size]:
        """Tokens that enter the first block, and the patch grid."""

    def head(self) -> tuple[nn.LayerNorm, Tensor]:
        """Refused: what leads to the joint space is no single normalisation and projection.

        Raises:
            UsageError: always.
        """
        raise UsageError(self.no_head)

    @abstractmethod
    def to_joint(self, tokens: Float[Tensor, "b n c"]) -> Float[Tensor, "b n d"]:
        """Each token behind the last block by itself in the joint space."""

    @abstractmethod
    def pool(self, tokens: Float[Tensor, "b n c"]) -> Float[Tensor, "b d"]:
        """Whole images in the joint space, not normalised, from the tokens behind the last block."""

    def embed(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b d"]:
        """Whole normalised images in the joint space, not normalised."""
        x, grid = self.tokens(images)
        return self.pool(run_blocks(self.blocks_on(grid), x))

    def forward(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b d"]:
        """As :meth:`embed`."""
        return self.embed(images)


class HeadedTower(ModuleTower):
    """An image tower of a library, with a head that leads to the joint space.

    Args:
        trunk: the tower of the library.
        adapter: reads the trunk; it is no module.
        dim: width of the joint space.
    """

    def __init__(self, trunk: nn.Module, adapter: ImageTower, dim: int) -> None:
        super().__init__()
        self.trunk: Any = trunk
        self.dim = dim
        self.inner: Any = adapter
        self.width: int = adapter.width
        self.patch_size: int = adapter.patch_size
        self.prefix: int = adapter.prefix

    @property
    def size(self) -> Size:
        """(height, width) of the images that it was trained with."""
        return self.inner.size

    @property
    def dtype(self) -> torch.dtype:
        """Dtype that images enter in."""
        return self.inner.dtype

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return self.inner.depth

    def blocks_on(self, grid: Size, positions: str = "size") -> Sequence[Block]:
        """The blocks, first to last, as they run on a patch grid."""
        return self.inner.blocks_on(grid, positions)

    def tokens(self, images: Float[Tensor, "b 3 H W"], positions: str = "size") -> tuple[Float[Tensor, "b n c"], Size]:
        """Tokens that enter the first block, and the patch grid.

        Args:
            images: normalised; sides divisible by the patch size.
            positions: how the position embedding is resized, one of :data:`densevl.encoders.contracts.POSITIONS`.
        """
        return self.inner.tokens(images, positions)


class MeanTower(HeadedTower):
    """A ViT of open_clip whose patches each pass a head, and whose images are the means of that.

    Args:
        trunk: the ViT; its last norm and its projection are taken away.
        dim: width of the joint space.
        hidden: width between the two layers of the head.
    """

    def __init__(self, trunk: Any, dim: int, hidden: int) -> None:
        trunk.ln_post, trunk.proj = nn.Identity(), None
        super().__init__(trunk, image_tower(trunk), dim)
        self.layers = nn.Sequential(nn.Linear(self.width, hidden), nn.GELU(), nn.Linear(hidden, dim), nn.LayerNorm(dim))

    def to_joint(self, tokens: Float[Tensor, "b n c"]) -> Float[Tensor, "b n d"]:
        """Each token by itself in the joint space."""
        return self.layers(tokens)

    def pool(self, tokens: Float[Tensor, "b n c"]) -> Float[Tensor, "b d"]:
        """The mean of the patches in the joint space."""
        return self.layers(tokens[:, self.prefix :]).mean(dim=1)


def build_mean_tower(
    config: Mapping[str, Any], embed_dim: int, state: Mapping[str, Tensor], quick_gelu: bool
) -> MeanTower:
    """The tower by open_clip's keys for a ViT, and ``hidden``: the width inside the head, where it is another.

    Args:
        config: these keys.
        embed_dim: width of the joint space.
        state: not used.
        quick_gelu: the activation of the ViT; that of the head is GELU always.
    """
    keys = {key: value for key, value in config.items() if key != "hidden"}
    return MeanTower(_build_vision_tower(embed_dim, keys, quick_gelu), embed_dim, config.get("hidden", embed_dim))
