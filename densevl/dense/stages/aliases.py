"""Names of classes weighted by how well they fit the image as a whole (VIP).

Source: VIP, as it reads DINOv3's dino.txt; its equations are known from a summary of its code, which has no licence and
was not opened. With g the whole image, t_a the text of a name or synonym a, and s_a its cosine at a patch::

    w = softmax_a(g · t_a / tem)          s_a ← s_a · w_a / mean(w)

The score of a class is then ``log Σ exp(τ · 40 · s_a) / τ`` over its names, which the classifier ``text`` with ``tau``
computes; with ``apart`` s_a is the mean over the templates of cosines, as VIP has it.

What is not known, and is so here: the softmax is over the names of all classes, and g is what a readout gives as the
whole, or else the mean of the patches of a window, which is the whole image of dino.txt in the space of its patches.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures, TextEmbeddings
from densevl.dense.contracts import named
from densevl.encoders.contracts import Needs

__all__ = ["AliasWeights"]


@dataclass(frozen=True)
class AliasWeights:
    """Cosines of names times their weights in each window; see the equation above.

    Attributes:
        tem: above 0; the larger, the less the names differ.
    """

    tem: int | float = 1.0

    acts_on = "cosines"
    needs = Needs(texts=True)

    def __post_init__(self) -> None:
        if not self.tem > 0:
            raise UsageError(f"tem must be above 0; got {self.tem!r}")

    @property
    def name(self) -> str:
        """Its kind and settings."""
        return named("alias-weights", self)

    def __call__(
        self, scores: Float[Tensor, "n q h w"], features: DenseFeatures, texts: TextEmbeddings
    ) -> Float[Tensor, "n q h w"]:
        """Weight the cosines of the queries."""
        whole = features.grid.flatten(2).mean(2) if features.whole is None else features.whole
        queries = texts.vectors if texts.each is None else texts.each.mean(1)
        alike = F.normalize(whole.to(scores), dim=1) @ queries.to(scores).mT
        weights = (alike / self.tem).softmax(1)
        return scores * (weights / weights.mean(1, keepdim=True))[:, :, None, None]
