"""From the vectors of a language model to the joint space: LLM2CLIP's adapter.

Source: Huang et al., LLM2CLIP: Powerful Language Model Unlocks Richer Visual Representation, 2024,
https://arxiv.org/abs/2411.04997, and microsoft/LLM2CLIP cba3b45 (``TextProj``). With x of unit length::

    x ← x + W₂ GELU(W₁ LN(x))        for each block
    y = W LN(x) + b
"""

from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["AdapterBlock", "TextAdapter"]


class AdapterBlock(nn.Module):
    """A residual block of two layers.

    Args:
        width: of the vectors.
        expansion: width inside, as a multiple of ``width``.
    """

    def __init__(self, width: int, expansion: int) -> None:
        super().__init__()
        inside = expansion * width
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, inside), nn.GELU(), nn.Linear(inside, width))

    def forward(self, x: Float[Tensor, "*q c"]) -> Float[Tensor, "*q c"]:
        return x + self.mlp(self.norm(x))


class TextAdapter(nn.Sequential):
    """Residual blocks, a normalisation, and a projection to the joint space.

    Args:
        width: of the vectors that it takes.
        joint: width of the joint space.
        blocks: number of residual blocks.
        expansion: of each block.
    """

    def __init__(self, width: int, joint: int, blocks: int = 4, expansion: int = 2) -> None:
        inside = (AdapterBlock(width, expansion) for _ in range(blocks))
        super().__init__(*inside, nn.LayerNorm(width), nn.Linear(width, joint))
