"""Image towers of timm's ``FastVit``, as MobileCLIP S0 to S4 have them: the last map, and the maps of earlier blocks.

Source: Vasu et al., MobileCLIP: Fast Image-Text Models through Multi-Modal Reinforced Training, CVPR 2024,
https://arxiv.org/abs/2311.17049, and MobileCLIP2, https://arxiv.org/abs/2508.20691. The pooled embedding is a linear
layer of the mean of the last map, and so the mean of what this layer makes of each of its cells.

The blocks of the last stages attend. But behind them comes a convolution that weights channels by their mean over the
image, so that no token behind a block has a place in the joint space by itself. The tower hands out no block therefore,
and is read as it is (the readout ``plain``).

Convention: tokens are the cells of the last map, in reading order; a cell is 32 pixels, or 64 where there are five
stages (S3 and S4).
"""

from collections.abc import Collection, Sequence
from typing import Any, NoReturn

import torch
from jaxtyping import Float
from timm.models.fastvit import FastVit
from torch import Tensor, nn

from densevl.core.attention import Block, NoAttention
from densevl.core.errors import UsageError
from densevl.core.geometry import Size
from densevl.encoders.towers.timm import output_width

__all__ = ["FastViTTower"]


class FastViTTower:
    """timm's FastViT with the head that leads to the joint space, run from its pieces.

    Args:
        trunk: the model; it is referred to, not copied.
        head: what follows the trunk's own pooling and head, such as a projection.

    Raises:
        UsageError: where the trunk is another kind of model, or does not pool by a mean.
    """

    prefix = 0

    def __init__(self, trunk: Any, head: nn.Module) -> None:
        _check(trunk)
        self.trunk = trunk
        self.last = head
        self.width: int = trunk.num_features
        self.depth: int = sum(len(stage.blocks) for stage in trunk.stages)
        self.dim: int = output_width([trunk.head.fc, head], self.width)
        self.patch_size: int = trunk.feature_info[-1]["reduction"]

    @property
    def size(self) -> Size:
        """(height, width) of the images that it was trained with."""
        return tuple(self.trunk.pretrained_cfg["input_size"][1:])

    @property
    def dtype(self) -> torch.dtype:
        """Dtype that images enter in."""
        return next(self.trunk.parameters()).dtype

    def blocks_on(self, grid: Size, positions: str = "size") -> Sequence[Block]:
        """What stands for the last block: none is left to read."""
        return [NoAttention("FastViT")]

    def maps(
        self, images: Float[Tensor, "b 3 H W"], wanted: Collection[int] = ()
    ) -> tuple[Float[Tensor, "b c h w"], dict[int, Float[Tensor, "b _ _ _"]]]:
        """The last map of normalised images, and what blocks put out by index, each on its own grid.

        Args:
            images: sides divisible by the patch size.
            wanted: indices of blocks, from 0, over all stages.
        """
        x, index, found = self.trunk.stem(images), 0, {}
        for stage in self.trunk.stages:
            x = stage.pos_emb(stage.downsample(x))
            for block in stage.blocks:
                x = block(x)
                if index in wanted:
                    found[index] = x
                index += 1
        return self.trunk.final_conv(x), found

    def tokens(self, images: Float[Tensor, "b 3 H W"], positions: str = "size") -> tuple[Float[Tensor, "b n c"], Size]:
        """The cells of the last map, and its grid.

        Args:
            images: normalised; sides divisible by the patch size.
            positions: not used: there is no position embedding.
        """
        last, _ = self.maps(images)
        return last.flatten(2).mT, (last.shape[2], last.shape[3])

    def to_joint(self, tokens: Float[Tensor, "*b c"]) -> Float[Tensor, "*b d"]:
        """Each cell by itself in the joint space, whose mean over an image is the image's embedding."""
        return self.last(self.trunk.head.fc(tokens))

    def head(self) -> NoReturn:
        """Refused: a layer with a bias, and no normalisation, leads to the joint space.

        Raises:
            UsageError: always.
        """
        raise UsageError("a FastViT has no last normalisation to start from; take a CLIP with a ViT, such as ViT-B-16")

    def pool(self, tokens: Float[Tensor, "b n c"]) -> Float[Tensor, "b d"]:
        """Embeddings of whole images, not normalised, from the cells of the last map."""
        return self.to_joint(tokens.mean(dim=1))

    def embed(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b d"]:
        """Embeddings of whole normalised images of the native size, not normalised."""
        return self.pool(self.tokens(images)[0])


def _check(trunk: Any) -> None:
    """Refuse a trunk of another kind."""
    if not isinstance(trunk, FastVit) or trunk.fork_feat or trunk.global_pool != "avg":
        got = getattr(trunk, "global_pool", type(trunk).__name__)
        raise UsageError(f"the image tower must be a FastVit of timm that pools by a mean; got {got}")
