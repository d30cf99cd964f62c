"""The text tower of Talk2DINO: that of a CLIP, translated to the space of DINOv2's patches.

Source: Barsellotti et al., Talking to DINO: Bridging Self-Supervised Vision Backbones with Language for Open-Vocabulary
Segmentation, ICCV 2025, https://arxiv.org/abs/2411.19331 (lorebianchi98/Talk2DINO 4918c2d). With t the embedding of a
text by CLIP, not normalised::

    t' = W_2 tanh(W_1 t + b_1) + b_2

which is compared with the patches of a DINOv2 with registers, behind its last norm. Only W and b are trained. The image
tower is timm's; its whole images are the class token, of which the paper does not speak.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from open_clip.model import _build_text_tower
from torch import Tensor, nn

__all__ = ["Translation", "build_talk2dino_text"]


class Translation(nn.Linear):
    """A projection to the space of CLIP, and from there to another; its own weights are those of the first layer.

    A linear layer, since open_clip asks for one where a projection is no plain matrix.

    Args:
        width: of the text tower.
        joint: width of CLIP's space.
        dim: width of the other space.
    """

    def __init__(self, width: int, joint: int, dim: int) -> None:
        super().__init__(joint, dim)
        self.joint = nn.Parameter(torch.randn(width, joint) * width**-0.5)
        self.second = nn.Linear(dim, dim)

    def forward(self, x: Float[Tensor, "*b c"]) -> Float[Tensor, "*b d"]:
        """Texts in the other space, from what the text tower puts out."""
        return self.second(super().forward(x @ self.joint).tanh())


def build_talk2dino_text(
    config: Mapping[str, Any], embed_dim: int, state: Mapping[str, Tensor], quick_gelu: bool
) -> nn.Module:
    """The text tower by open_clip's keys, and ``joint``: the width of CLIP's space.

    Args:
        config: these keys.
        embed_dim: width of the space of the patches.
        state: not used.
        quick_gelu: the activation of CLIP.
    """
    joint = config["joint"]
    keys = {key: value for key, value in config.items() if key != "joint"}
    text: Any = _build_text_tower(joint, keys, quick_gelu)
    del text.text_projection  # a parameter of open_clip, which a module cannot take the place of
    text.text_projection, text.output_dim = Translation(config["width"], joint, embed_dim), embed_dim
    return text
