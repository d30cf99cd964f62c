"""The image tower of Alpha-CLIP: CLIP's ViT with a fourth channel that says where to look.

Source: Sun et al., Alpha-CLIP: A CLIP Model Focusing on Wherever You Want, CVPR 2024,
https://arxiv.org/abs/2312.03818; reference code SunzeY/AlphaCLIP at commit e5676c9 (Apache-2.0). Patches are::

    conv1(image) + conv1_alpha(alpha)        alpha = (mask - 0.5) / 0.26

and all else is CLIP's. An image without a fourth channel is looked at everywhere: its mask is 1. After training that is
another embedding than CLIP's; with a ``conv1_alpha`` of zeros it is CLIP's exactly.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from open_clip.model import _build_vision_tower
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn

from densevl.core.errors import UsageError
from densevl.encoders.contracts import ImageTower

__all__ = ["AlphaPatches", "build_alpha_tower", "sees_masks", "with_alpha"]

MEAN, STD = 0.5, 0.26
"""What masks in [0, 1] are normalised by."""


class AlphaPatches(nn.Conv2d):
    """Patches of images of three channels, or of four of which the last is the normalised mask.

    Args:
        width: of the tokens.
        patch_size: side of a patch in pixels.
    """

    def __init__(self, width: int, patch_size: int) -> None:
        super().__init__(3, width, patch_size, patch_size, bias=False)
        self.alpha = nn.Conv2d(1, width, patch_size, patch_size, bias=False)

    def forward(self, images: Float[Tensor, "b _ H W"]) -> Float[Tensor, "b c h w"]:
        """Tokens on the patch grid."""
        colours, alpha = images[:, :3], images[:, 3:]
        if alpha.shape[1] == 0:
            alpha = torch.full_like(images[:, :1], (1 - MEAN) / STD)
        return super().forward(colours) + self.alpha(alpha)


def with_alpha(images: Float[Tensor, "b 3 H W"], masks: Float[Tensor, "b H W"]) -> Float[Tensor, "b 4 H W"]:
    """Normalised images with their masks as the fourth channel.

    Args:
        images: as the encoder normalises them.
        masks: 1 where to look, 0 elsewhere.
    """
    return torch.cat([images, ((masks - MEAN) / STD)[:, None].to(images)], dim=1)


def sees_masks(tower: ImageTower) -> bool:
    """True where a tower takes images of four channels."""
    return isinstance(getattr(getattr(tower, "visual", None), "conv1", None), AlphaPatches)


def build_alpha_tower(
    config: Mapping[str, Any], embed_dim: int, state: Mapping[str, Tensor], quick_gelu: bool
) -> VisionTransformer:
    """open_clip's ViT with the patches of Alpha-CLIP.

    Args:
        config: open_clip's ``vision_cfg`` of the ViT.
        embed_dim: width of the joint space.
        state: not used: the config says the shapes.
        quick_gelu: whether the activation is QuickGELU.

    Raises:
        UsageError: where the config is that of another tower.
    """
    visual = _build_vision_tower(embed_dim, dict(config), quick_gelu)
    if not isinstance(visual, VisionTransformer) or visual.conv1.bias is not None:
        raise UsageError(f"Alpha-CLIP is made of open_clip's ViT; this architecture has a {type(visual).__name__}")
    visual.conv1 = AlphaPatches(visual.conv1.out_channels, visual.patch_size[0])
    return visual
