"""PAMR: scores flow between neighbouring pixels that look alike.

Source: Araslanov and Roth, Single-Stage Semantic Segmentation from Image Labels, CVPR 2020,
https://arxiv.org/abs/2005.08104; as NACLIP uses it (sinahmr/NACLIP at commit 0cac3a6, dilations 8 and 16, 10 steps).
With the neighbours j of a pixel i at every dilation, eight each, and σ the standard deviation of a channel over them
and the pixel itself::

    a_ij = mean over channels of −|I_i − I_j| / (0.1 σ_i + 1e-8)          w_i = softmax_j(a_i)
    m_i ← Σ_j w_ij m_j                                                     as often as there are steps

Beyond the border the outermost pixels are repeated. Where we differ: no tensor of all neighbours of all scores is made;
the neighbours are added one by one.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.dense.contracts import named
from densevl.encoders.contracts import Needs

__all__ = ["PAMR"]

STEPS = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]


@dataclass(frozen=True)
class PAMR:
    """Pixel-adaptive mask refinement, as a stage of a segmentor.

    Attributes:
        steps: how often scores flow.
        dilations: distances of the neighbours in pixels.
    """

    steps: int = 10
    dilations: Sequence[int] = (8, 16)

    on_pixels = True
    class_by_class = True
    needs = Needs(images=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "dilations", tuple(self.dilations))
        if self.steps < 1 or not self.dilations or min(self.dilations) < 1:
            raise UsageError(
                f"PAMR takes one step or more, at distances of one pixel or more; got {self.steps} and {self.dilations}"
            )

    @property
    def name(self) -> str:
        """Its kind and settings."""
        return named("pamr", self)

    def __call__(self, scores: Float[Tensor, "k H W"], image: Float[Tensor, "3 H W"]) -> Float[Tensor, "k H W"]:
        """Let the scores of an image flow.

        Args:
            scores: of each class or query.
            image: of the same size; its channels may be scaled and shifted at will.
        """
        return self.prepare(image.to(scores))(scores)

    def prepare(self, image: Float[Tensor, "3 H W"]) -> Callable[[Float[Tensor, "k H W"]], Float[Tensor, "k H W"]]:
        """The flow of an image, whose weights are made once for any number of scores.

        Args:
            image: its channels may be scaled and shifted at will.
        """
        weights = self._weights(image)

        def flow(scores: Float[Tensor, "k H W"]) -> Float[Tensor, "k H W"]:
            for _ in range(self.steps):
                flowed = torch.zeros_like(scores)
                for weight, neighbour in zip(weights, self._neighbours(scores), strict=True):
                    flowed.addcmul_(weight, neighbour)
                scores = flowed
            return scores

        return flow

    def _weights(self, image: Float[Tensor, "3 H W"]) -> Float[Tensor, "j H W"]:
        """Weight of each neighbour of each pixel."""
        seen = torch.stack([*self._neighbours(image), *(image for _ in self.dilations)])
        deviation = seen.std(dim=0) * 0.1 + 1e-8
        return torch.stack(
            [-((image - near).abs() / deviation).mean(dim=0) for near in self._neighbours(image)]
        ).softmax(0)

    def _neighbours(self, values: Float[Tensor, "c H W"]) -> Iterator[Float[Tensor, "c H W"]]:
        """The values that lie at each step of each dilation, one after another."""
        height, width = values.shape[1:]
        for dilation in self.dilations:
            padded = F.pad(values[None], (dilation,) * 4, mode="replicate")[0]
            for y, x in STEPS:
                top, left = dilation * (y + 1), dilation * (x + 1)
                yield padded[:, top : top + height, left : left + width]
