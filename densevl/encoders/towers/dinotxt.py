"""dino.txt: a frozen DINO under two blocks that were trained to meet texts, and which half of a text a patch meets.

Source: Jose et al., DINOv2 Meets Text, CVPR 2025, https://arxiv.org/abs/2412.16334, with DINOv3
https://arxiv.org/abs/2508.10104, and facebookresearch/dinov3 6876159, eval/text. The tokens of the frozen tower, last
norm included, pass the head::

    h = LayerNorm(blocks(tokens))        pre-norm blocks with SwiGLU and layer scale, no positions
    image = (h of the class token, mean of h over the patches)

A text is as long as that, and a patch is compared with the *second half* of it by plain cosines. A cosine of a patch
with half a text and one of an image with a whole text are of two spaces: the share of a text's length that is in its
second half differs from text to text, and no vector of a patch in the whole space would give the published scores. An
architecture says therefore which space it is:

* ``"part": "image"``, the whole: images against texts, as published for retrieval. A patch has no place in it.
* ``"part": "patches"``, the second half of both sides: patches and regions against texts, as published for label maps;
  an image is the mean of its patches.

The blocks that readers see are those of the head: they are what was trained with texts, and the last of them is the
last block of the model. A mixture of readouts that needs earlier blocks of the frozen tower has none here.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import timm
import torch
from jaxtyping import Float
from timm.layers import SwiGLU
from timm.models.vision_transformer import Block as TimmViTBlock
from torch import Tensor, nn

from densevl.core.attention import Block, run_blocks
from densevl.core.errors import UsageError
from densevl.core.geometry import Size
from densevl.encoders.towers import image_tower
from densevl.encoders.towers.headed import HeadedTower
from densevl.encoders.towers.timm import TimmBlock
from densevl.encoders.towers.timm_model import TimmModel

__all__ = ["PARTS", "DinotxtHead", "DinotxtTower", "build_dinotxt_tower", "space"]

PARTS = ("image", "patches")
"""Spaces of dino.txt: whole embeddings, or their second half, which the patches have."""


class DinotxtHead(nn.Module):
    """The blocks that are trained on a frozen tower, and their norm.

    Args:
        width: of a token.
        heads: of each attention.
        depth: number of blocks.
        hidden: width inside the feed-forward layers.
    """

    def __init__(self, width: int, heads: int, depth: int, hidden: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            TimmViTBlock(
                width,
                heads,
                mlp_ratio=(hidden + 0.5) / width,
                mlp_layer=SwiGLU,
                act_layer=nn.SiLU,
                init_values=1e-5,
                norm_layer=nn.LayerNorm,
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)


class DinotxtTower(HeadedTower):
    """A frozen DINO with the head of dino.txt.

    Args:
        trunk: DINOv2 or DINOv3 of timm.
        head: what was trained on it.
        image_size: (height, width) of the images that it was trained with.
        part: one of :data:`PARTS`.
    """

    def __init__(self, trunk: Any, head: DinotxtHead, image_size: Size, part: str) -> None:
        adapter = image_tower(TimmModel(trunk, nn.Identity(), image_size))
        super().__init__(trunk, adapter, adapter.width * (2 if part == "image" else 1))
        self.trained, self.image_size, self.part = head, image_size, part

    @property
    def size(self) -> Size:
        """(height, width) of the images that it was trained with."""
        return self.image_size

    @property
    def depth(self) -> int:
        """Number of blocks of the head."""
        return len(self.trained.blocks)

    def blocks_on(self, grid: Size, positions: str = "size") -> Sequence[Block]:
        """The blocks of the head, first to last; places do not enter in them."""
        return [TimmBlock(block) for block in self.trained.blocks]  # type: ignore[arg-type]

    def tokens(self, images: Float[Tensor, "b 3 H W"], positions: str = "size") -> tuple[Float[Tensor, "b n c"], Size]:
        """Tokens behind the frozen tower, its last norm included, and the patch grid."""
        x, grid = self.inner.tokens(images, positions)
        x = run_blocks(self.inner.blocks_on(grid, positions), x)
        return self.trunk.norm(x), grid  # type: ignore[operator]

    def to_joint(self, tokens: Float[Tensor, "b n c"]) -> Float[Tensor, "b n d"]:
        """Each token by itself in the space of patches.

        Raises:
            UsageError: where the space is that of whole images.
        """
        if self.part == "image":
            raise UsageError(
                "patches of dino.txt are compared with the second half of a text alone; take the architecture whose "
                "name ends in -patches, as in arch='dinov3-txt-vit-l16-patches'"
            )
        return self.trained.norm(tokens)

    def pool(self, tokens: Float[Tensor, "b n c"]) -> Float[Tensor, "b d"]:
        """Whole images: the class token and the mean of the patches, or that mean alone."""
        x = self.trained.norm(tokens)
        mean = x[:, self.prefix :].mean(dim=1)
        return mean if self.part == "patches" else torch.cat([x[:, 0], mean], dim=1)


def build_dinotxt_tower(
    config: Mapping[str, Any], embed_dim: int, state: Mapping[str, Tensor], quick_gelu: bool
) -> DinotxtTower:
    """The tower by ``timm_model_name``, ``timm_model_kwargs``, ``image_size``, ``layers``, ``heads`` and ``part``.

    Args:
        config: these keys, and ``hidden``: the width inside the feed-forward layers of the head.
        embed_dim: width of the joint space: twice that of the tower, or the same for patches.
        state: not used.
        quick_gelu: not used.

    Raises:
        UsageError: where the part is unknown, or the width of the joint space is not that of the tower.
    """
    part, side = space(config), config["image_size"]
    kwargs = dict(config.get("timm_model_kwargs", {}))
    trunk: Any = timm.create_model(config["timm_model_name"], num_classes=0, global_pool="token", **kwargs)
    head = DinotxtHead(trunk.embed_dim, config["heads"], config.get("layers", 2), config["hidden"])
    tower = DinotxtTower(trunk, head, (side, side), part)
    if tower.dim != embed_dim:
        raise UsageError(f"the space of {part} of this tower is {tower.dim} wide; embed_dim says {embed_dim}")
    return tower


def space(config: Mapping[str, Any]) -> str:
    """The space that the settings of a tower say.

    Raises:
        UsageError: where it is none of :data:`PARTS`.
    """
    part = config.get("part", "image")
    if part not in PARTS:
        raise UsageError(f"part must be one of {', '.join(PARTS)}; got {part!r}")
    return part
