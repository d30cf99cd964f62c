"""GEM's heat maps: the scores of each text in an image brought to the same range."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from densevl.dense.contracts import named
from densevl.encoders.contracts import Needs

__all__ = ["MinMax"]


@dataclass(frozen=True)
class MinMax:
    """The scores of each text, or class, from 0 at the pixel where they are least to 1 where they are largest.

    Source: Bousselham et al., Grounding Everything, CVPR 2024, https://arxiv.org/abs/2312.00878; code ``gem_torch``
    1.0.1, which normalises whole images. Where we differ: the scores of an image of several windows are brought to the
    range once, after they were merged; scores that are the same everywhere are 0, and NaN in the reference code.
    """

    on_pixels = True
    class_by_class = True
    needs = Needs()

    @property
    def name(self) -> str:
        """Its kind."""
        return named("min-max", self)

    def __call__(self, scores: Float[Tensor, "k H W"], image: Float[Tensor, "3 H W"]) -> Float[Tensor, "k H W"]:
        """Scores in [0, 1].

        Args:
            scores: of each query or class.
            image: not looked at.
        """
        lowest = scores.amin((1, 2), keepdim=True)
        spread = scores.amax((1, 2), keepdim=True) - lowest
        return (scores - lowest) / spread.where(spread > 0, 1)
