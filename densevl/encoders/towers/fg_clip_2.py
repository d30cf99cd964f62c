"""The image tower of FG-CLIP 2: SigLIP 2's ViT for images of any size, with a second head for patches.

Source: Xie et al., FG-CLIP 2: A Bilingual Fine-grained Vision-language Alignment Model, ICML 2026,
https://arxiv.org/abs/2510.10921; reference code 360CVGroup/FG-CLIP at commit 75badee (Apache-2.0). With x the tokens
behind the last block and its norm, a head of queries q is::

    y = attention(q, x, x)        y + mlp(norm(y))

An image is the head of one learned query, as in SigLIP. Patches are the other head, whose queries are the patches
themselves: each attends to all of its image. Positions are resized as SigLIP 2 of any size does it (Tschannen et al.,
https://arxiv.org/abs/2502.14786): bilinear with antialiasing. GELU is the tanh approximation throughout.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from timm.layers import GELUTanh, Mlp
from timm.models import VisionTransformer
from torch import Tensor, nn

from densevl.core.errors import UsageError
from densevl.core.geometry import Size
from densevl.encoders.towers.headed import HeadedTower
from densevl.encoders.towers.timm import TimmTower

__all__ = ["AttentionHead", "FGCLIP2Tower", "build_fg_clip_2"]

EPS = 1e-6


class AttentionHead(nn.Module):
    """Pools tokens by the attention of queries: of one of its own, or of those that are given.

    Args:
        width: of the tokens.
        heads: of the attention.
        inner: width between the layers of the feed-forward part.
        probe: whether it has a query of its own.
    """

    def __init__(self, width: int, heads: int, inner: int, probe: bool) -> None:
        super().__init__()
        self.probe = nn.Parameter(torch.zeros(1, 1, width)) if probe else None
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.layernorm = nn.LayerNorm(width, eps=EPS)
        self.mlp = Mlp(width, inner, act_layer=GELUTanh)

    def forward(
        self, tokens: Float[Tensor, "b n c"], queries: Float[Tensor, "b m c"] | None = None
    ) -> Float[Tensor, "b m c"]:
        """What each query gathers of the tokens; without queries, what the head's own does."""
        if queries is None:
            assert self.probe is not None
            queries = self.probe.expand(len(tokens), -1, -1)
        gathered, _ = self.attention(queries, tokens, tokens, need_weights=False)
        return gathered + self.mlp(self.layernorm(gathered))


class FGCLIP2Tower(HeadedTower):
    """The tower as :class:`densevl.encoders.contracts.ImageTower`; its tokens lie in the joint space behind a head.

    Args:
        trunk: a ViT of timm without class token and pooling.
        heads: of the attention of both heads.
        inner: width between the layers of their feed-forward parts.
    """

    no_head = "FG-CLIP 2 pools by attention; take a CLIP with a projection, such as ViT-B-16"

    def __init__(self, trunk: VisionTransformer, heads: int, inner: int) -> None:
        super().__init__(trunk, TimmTower(trunk, nn.Identity()), trunk.embed_dim)
        self.pooling = AttentionHead(self.width, heads, inner, probe=True)
        self.dense = AttentionHead(self.width, heads, inner, probe=False)

    def tokens(self, images: Float[Tensor, "b 3 H W"], positions: str = "size") -> tuple[Float[Tensor, "b n c"], Size]:
        """Patch tokens that enter the first block, and the patch grid.

        Args:
            images: normalised; sides divisible by the patch size.
            positions: how the position embedding is resized, one of :data:`densevl.encoders.contracts.POSITIONS`;
                ``"size"`` is the published way, bilinear with antialiasing.
        """
        if positions != "size":
            return self.inner.tokens(images, positions)
        patches = self.trunk.patch_embed.proj(images)
        grid, native = (patches.shape[2], patches.shape[3]), tuple(self.trunk.patch_embed.grid_size)
        table = self.trunk.pos_embed
        if grid != native:
            square = table.float().mT.unflatten(2, native)
            resized = F.interpolate(square, grid, mode="bilinear", align_corners=False, antialias=True)
            table = resized.flatten(2).mT
        return patches.flatten(2).mT + table.to(patches.dtype), grid

    def to_joint(self, tokens: Float[Tensor, "b n c"]) -> Float[Tensor, "b n d"]:
        """The patches of whole images in the joint space: in the dense head each attends to all that are given."""
        normed = self.trunk.norm(tokens)
        return self.dense(normed, normed)

    def pool(self, tokens: Float[Tensor, "b n c"]) -> Float[Tensor, "b d"]:
        """Whole images in the joint space, not normalised, from the tokens behind the last block."""
        return self.pooling(self.trunk.norm(tokens))[:, 0]


def build_fg_clip_2(
    config: Mapping[str, Any], embed_dim: int, state: Mapping[str, Tensor], quick_gelu: bool
) -> FGCLIP2Tower:
    """The tower of a config.

    Args:
        config: ``image_size``, ``patch_size``, ``width``, ``layers``, ``heads`` and, where it is not 4, ``mlp_ratio``.
        embed_dim: width of the joint space, which is that of the tokens.
        state: not used: the config says the shapes.
        quick_gelu: must be False.

    Raises:
        UsageError: where the config is that of another tower.
    """
    width, ratio = config["width"], config.get("mlp_ratio", 4)
    if quick_gelu or embed_dim != width:
        raise UsageError(f"FG-CLIP 2 has no QuickGELU, and a joint space as wide as its tokens, {width}")
    trunk = VisionTransformer(
        img_size=config["image_size"],
        patch_size=config["patch_size"],
        embed_dim=width,
        depth=config["layers"],
        num_heads=config["heads"],
        mlp_ratio=ratio,
        class_token=False,
        global_pool="",
        num_classes=0,
        norm_layer=partial(nn.LayerNorm, eps=EPS),
        act_layer=GELUTanh,
    )
    return FGCLIP2Tower(trunk, config["heads"], int(ratio * width))
