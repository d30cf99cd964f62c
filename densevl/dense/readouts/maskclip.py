"""MaskCLIP: the last block without its attention.

Source: Zhou et al., Extract Free Dense Labels from CLIP, ECCV 2022, https://arxiv.org/abs/2112.01071. With x the input
of the last block::

    v = out_proj(W_v ln_1(x) + b_v)        the value path, every token for itself
    v = x + v                              residual
    v = v + mlp(ln_2(v))                   feed-forward

and the encoder projects ``ln_post(v)`` to the joint space. Both reference codes (MaskCLIP's and CLIP-DINOiser's, the
latter at commit a954aae) keep the residual and the feed-forward layers: ``maskclip``. Other papers report the value
path alone under the same name: ``maskclip-reduced``.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from densevl.dense.contracts import named
from densevl.encoders.contracts import LastBlock, Needs

__all__ = ["MaskCLIPReadout"]


@dataclass(frozen=True)
class MaskCLIPReadout:
    """Read the last block by its value path.

    Attributes:
        residual: add the input of the block, as both reference codes do.
        mlp: add the feed-forward layers, as both reference codes do.
    """

    residual: bool = True
    mlp: bool = True

    needs = Needs()

    @property
    def name(self) -> str:
        """Its kind and settings."""
        return named("maskclip", self)

    def __call__(self, last: LastBlock) -> Float[Tensor, "b c h w"]:
        """Tokens of the block on the patch grid."""
        block = last.block
        (values,) = block.qkv(block.norm_1(last.tokens), "v")
        return last.behind(values, self.residual, self.mlp)
