"""MaskCLIP: the last block without its attention.

Source: Zhou et al., Extract Free Dense Labels from CLIP, ECCV 2022, https://arxiv.org/abs/2112.01071. With x the input
of the last block::

    v = out_proj(W_v ln_1(x) + b_v)        the value path, every token for itself
    v = x + v                              residual
    v = v + mlp(ln_2(v))                   feed-forward

and the encoder projects ``ln_post(v)`` to the joint space. Both reference codes (MaskCLIP's and CLIP-DINOiser's, the
latter at commit a954aae) keep the residual and the feed-forward part: ``maskclip``. Other papers report the value path
alone under the same name: ``maskclip_reduced``.
"""

from dataclasses import dataclass

from jaxtyping import Float
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor

from densevl.core.attention import feed_forward, keys, values
from densevl.core.registry import READOUTS
from densevl.dense.contracts import ReadTokens

__all__ = ["MaskCLIPReadout", "maskclip_reduced"]


@READOUTS.register_module("maskclip")
@dataclass(frozen=True)
class MaskCLIPReadout:
    """Read the last block by its value path.

    Attributes:
        residual: add the input of the block, as both reference codes do.
        mlp: add the feed-forward part, as both reference codes do.
    """

    residual: bool = True
    mlp: bool = True

    def __call__(self, block: ResidualAttentionBlock, x: Float[Tensor, "b n c"], want_keys: bool) -> ReadTokens:
        """Tokens of the block, and its keys where they are wanted."""
        normed = block.ln_1(x)
        tokens = block.ls_1(values(block.attn, normed))
        if self.residual:
            tokens = x + tokens
        if self.mlp:
            tokens = tokens + block.ls_2(feed_forward(block.mlp, block.ln_2(tokens)))
        return ReadTokens(tokens, keys(block.attn, normed) if want_keys else None)


@READOUTS.register_module("maskclip_reduced")
def maskclip_reduced() -> MaskCLIPReadout:
    """The value path alone."""
    return MaskCLIPReadout(residual=False, mlp=False)
