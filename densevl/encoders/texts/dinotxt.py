"""The text tower of dino.txt: open_clip's with other biases, and the part of its output that a space takes.

Source: Jose et al., DINOv2 Meets Text, CVPR 2025, https://arxiv.org/abs/2412.16334; the spaces are those of
:mod:`densevl.encoders.towers.dinotxt`.
"""

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from jaxtyping import Float
from open_clip.model import _build_text_tower
from torch import Tensor, nn

from densevl.encoders.towers.dinotxt import space

__all__ = ["build_dinotxt_text"]


class SecondHalf(nn.Linear):
    """A projection of which the second half of the outputs is wanted; its weights are those of the whole."""

    def forward(self, x: Float[Tensor, "*b c"]) -> Float[Tensor, "*b d"]:
        """The second half of the outputs."""
        return F.linear(x, self.weight[self.out_features // 2 :])


def build_dinotxt_text(
    config: Mapping[str, Any], embed_dim: int, state: Mapping[str, Tensor], quick_gelu: bool
) -> nn.Module:
    """The text tower: open_clip's, without biases of queries, keys and values, and a projection of which a part counts.

    Args:
        config: open_clip's keys, and ``part``.
        embed_dim: width of the joint space.
        state: not used.
        quick_gelu: the activation.

    Raises:
        UsageError: where the part is unknown.
    """
    part = space(config)
    keys = {key: value for key, value in config.items() if key != "part"}
    text: Any = _build_text_tower(embed_dim, keys, quick_gelu)
    for block in text.transformer.resblocks:
        block.attn.register_parameter("in_proj_bias", None)
    whole = embed_dim if part == "image" else 2 * embed_dim
    del text.text_projection  # a parameter of open_clip, which a module cannot take the place of
    text.text_projection = (nn.Linear if part == "image" else SecondHalf)(config["width"], whole, bias=False)
    return text
