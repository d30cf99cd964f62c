"""Background cleaning of Talk2DINO: what the heads of the class token look at, raised where it fits a class.

Source: Barsellotti et al., Talking to DINO, ICCV 2025, https://arxiv.org/abs/2411.19331 (lorebianchi98/Talk2DINO
4918c2d). With a_hp the score of the class token and the patch p in the head h of the last attention, before the
softmax, x_p the patches, t_c the text of class c and m its probabilities on the patch grid of a window::

    v_h = L2(mean_p a_hp x_p)      r_ch = softmax_h(t_c · v_h)      b_cp = softmax_p(Σ_h r_ch a_hp)
    b ← (b − min b) / max b · (max m − min m) + min m               m ← (m + λ b) / (1 + λ)

Minima and maxima are over all classes and patches of a window; max b is that before min b is taken off, as in the
reference. A class of several queries has the mean of their b; one without a query keeps m and counts nowhere.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.core.features import DenseFeatures, TextEmbeddings
from densevl.dense.contracts import named
from densevl.encoders.contracts import Needs

__all__ = ["HeadCleaning", "raised_by_heads"]


def raised_by_heads(
    masks: Float[Tensor, "n k h w"],
    grid: Float[Tensor, "n d h w"],
    attention: Float[Tensor, "n heads h w"],
    texts: Float[Tensor, "k d"],
    weight: int | float,
) -> Float[Tensor, "n k h w"]:
    """Probabilities with what the heads look at; see the equations above.

    Args:
        masks: m.
        grid: x, not normalised.
        attention: a.
        texts: t, unit vectors, one a class.
        weight: λ.
    """
    patches, seen = grid.flatten(2).float(), attention.flatten(2).float()
    heads = F.normalize(seen @ patches.mT / patches.shape[2], dim=2)
    shares = (texts.to(heads) @ heads.mT).softmax(2)
    raised = (shares @ seen).softmax(2)
    lowest, highest = (limit(raised, dim=(1, 2), keepdim=True) for limit in (torch.amin, torch.amax))
    low, high = (limit(masks.flatten(2), dim=(1, 2), keepdim=True) for limit in (torch.amin, torch.amax))
    raised = (raised - lowest) / highest * (high - low) + low
    return (masks + weight * raised.unflatten(2, grid.shape[2:]).to(masks)) / (1 + weight)


@dataclass(frozen=True)
class HeadCleaning:
    """Background cleaning as a stage of a segmentor; see above.

    Attributes:
        weight: λ, above 0.
    """

    weight: int | float = 0.2

    acts_on = "probabilities"
    needs = Needs(texts=True)

    def __post_init__(self) -> None:
        if not self.weight > 0:
            raise UsageError(f"weight must be above 0; got {self.weight!r}")

    @property
    def name(self) -> str:
        """Its kind and settings."""
        return named("talk2dino-cleaning", self)

    def __call__(
        self, probabilities: Float[Tensor, "n k h w"], features: DenseFeatures, texts: TextEmbeddings
    ) -> Float[Tensor, "n k h w"]:
        """Raise what the heads look at.

        Raises:
            UsageError: where the features have no scores of the class token on the grid of the probabilities.
        """
        attention = features.attention
        if attention is None or attention.shape[2:] != probabilities.shape[2:]:
            raise UsageError(
                "talk2dino-cleaning reads the scores of the class token, which these features do not have on their "
                "grid; take the readout {'type': 'plain', 'attention': True}"
            )
        owners = texts.query_classes.to(probabilities.device)
        asked = owners.unique()
        of_queries = probabilities[:, owners]
        raised = raised_by_heads(of_queries, features.grid, attention, texts.vectors, self.weight)
        result = probabilities.clone()
        for label in asked.tolist():
            result[:, label] = raised[:, owners == label].mean(1)
        return result
