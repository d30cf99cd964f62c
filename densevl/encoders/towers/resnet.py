"""open_clip's ResNets with attention pooling: label maps as well as whole images.

Source: Zhou et al., Extract Free Dense Labels from CLIP, ECCV 2022, https://arxiv.org/abs/2112.01071, which defines the
dense features of such a tower: with x the last map, each cell is ``c_proj(v_proj(x))``, without positions and without
attention.

The pooling attention is the tower's only block, and so its last. It adds nothing to its input, and no feed-forward
layers follow: what a readout would add has no place here. Queries and keys stand at their places, as they were trained;
values do where the attention is run whole (the readout ``plain``, and pooling), not where they are read by
themselves or mixed by a readout, which is MaskCLIP's definition.

Convention: tokens are "b n c": the mean of all cells, which pools, then the cells in reading order, each 32 pixels.
"""

from collections.abc import Sequence
from typing import Any, NoReturn

import torch
from jaxtyping import Float
from torch import Tensor

from densevl.core.attention import LETTERS, Block, linear
from densevl.core.errors import UsageError
from densevl.core.geometry import Size
from densevl.encoders.towers.positions import PositionTable

__all__ = ["PoolingBlock", "ResNetTower"]

STRIDE = 32


class PoolingBlock:
    """The pooling attention as :class:`densevl.core.attention.Block`; it is referred to, not copied.

    Args:
        pool: open_clip's ``AttentionPool2d``.
        positions: of the mean, then of the cells of the grid.
    """

    residual = False

    def __init__(self, pool: Any, positions: Float[Tensor, "n c"]) -> None:
        self.pool, self.positions = pool, positions

    def norm_1(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """Nothing is normalised."""
        return x

    def qkv(self, x: Float[Tensor, "b n c"], wanted: str = LETTERS) -> tuple[Float[Tensor, "b heads n e"], ...]:
        """Queries and keys at their places; values at theirs where all three are wanted, else without places."""
        found = []
        for letter in wanted:
            projection = getattr(self.pool, f"{letter}_proj")
            placed = x if letter == "v" and wanted != LETTERS else x + self.positions
            heads = linear(placed, projection.weight, projection.bias).unflatten(-1, (self.pool.num_heads, -1))
            found.append(heads.transpose(1, 2))
        return tuple(found)

    def out(self, mixed: Float[Tensor, "b heads n e"]) -> Float[Tensor, "b n c"]:
        """The heads side by side; the projection that follows leads to the joint space."""
        return mixed.transpose(1, 2).flatten(2)

    def norm_2(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """Nothing is normalised."""
        return x

    def mlp(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """Zeros: there are no feed-forward layers."""
        return torch.zeros_like(x)


class ResNetTower:
    """A ``ModifiedResNet`` of open_clip, run from its pieces.

    Args:
        visual: the tower; it is referred to, not copied.
    """

    prefix = 1
    depth = 1
    patch_size = STRIDE

    def __init__(self, visual: Any) -> None:
        self.visual = visual
        self.width: int = visual.attnpool.c_proj.in_features
        self.dim: int = visual.output_dim
        self._positions = PositionTable(prefix=self.prefix)

    def blocks_on(self, grid: Size, positions: str = "size") -> Sequence[Block]:
        """The pooling attention alone.

        Args:
            grid: cells (down, right).
            positions: how the position embedding is resized, one of :data:`densevl.encoders.contracts.POSITIONS`.
        """
        side = self.visual.image_size // STRIDE
        native = self.visual.attnpool.positional_embedding
        return [
            PoolingBlock(
                self.visual.attnpool, self._positions.resized(native, (side, side), grid, self.dtype, positions)
            )
        ]

    @property
    def size(self) -> Size:
        """(height, width) of the images that it was trained with."""
        return (self.visual.image_size, self.visual.image_size)

    @property
    def dtype(self) -> torch.dtype:
        """Dtype that images enter in."""
        return self.visual.conv1.weight.dtype

    def tokens(self, images: Float[Tensor, "b 3 H W"], positions: str = "size") -> tuple[Float[Tensor, "b n c"], Size]:
        """The mean of the last map and its cells, and the grid.

        Args:
            images: normalised; sides divisible by 32.
            positions: not used: they enter in the block.
        """
        visual = self.visual
        last = visual.layer4(visual.layer3(visual.layer2(visual.layer1(visual.stem(images)))))
        cells = last.flatten(2).mT
        return torch.cat([cells.mean(dim=1, keepdim=True), cells], dim=1), (last.shape[2], last.shape[3])

    def to_joint(self, tokens: Float[Tensor, "*b c"]) -> Float[Tensor, "*b d"]:
        """Each token behind the block by itself in the joint space."""
        return self.visual.attnpool.c_proj(tokens)

    def head(self) -> NoReturn:
        """Refused: a projection with a bias, and no normalisation, leads to the joint space.

        Raises:
            UsageError: always.
        """
        raise UsageError("a ResNet has no last normalisation to start from; take a CLIP with a ViT, such as ViT-B-16")

    def pool(self, tokens: Float[Tensor, "b n c"]) -> Float[Tensor, "b d"]:
        """Embeddings of whole images, not normalised, from the tokens behind the block."""
        return self.to_joint(tokens[:, 0])

    def embed(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b d"]:
        """Embeddings of whole normalised images of the native size, not normalised: open_clip's own forward."""
        return self.visual(images)
