"""Each expert of a mixture keeps to the templates of its group.

Source: Du et al., Mixture of Prompt Learning for Vision Language Models (MoCoOp), 2024,
https://arxiv.org/abs/2409.12011; dyabel/mocoop at commit 04b5d2a (no licence: facts only). With ``s_gk`` the unit
vector of class k by expert g and ``h_gk`` the unit mean over the templates of its group: cross-entropy of
``softmax over j of s_gk · h_gj``, without a factor, mean over experts and classes.

Where we differ: the term has the classes that are taught; in the reference those of the test are in it, too.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from densevl.encoders.tuning.experts import mixture_of
from densevl.training.tuning.contracts import Step

__all__ = ["ExpertPrototypes", "prototype_cross_entropy"]


def prototype_cross_entropy(soft: Float[Tensor, "g k d"], prototypes: Float[Tensor, "g k d"]) -> Float[Tensor, ""]:
    """Cross-entropy of the classes as each expert writes them, against the prototypes of its group.

    Args:
        soft: unit vectors of classes by the experts.
        prototypes: unit vectors of classes by the templates of their groups.
    """
    logits = torch.einsum("gkd,gjd->gkj", soft, prototypes).flatten(0, 1)
    labels = torch.arange(soft.shape[1], device=soft.device).repeat(len(soft))
    return F.cross_entropy(logits, labels)


class ExpertPrototypes:
    """The cross-entropy of experts against the templates of their groups.

    Args:
        weight: factor of the term.
    """

    needs = ()

    def __init__(self, weight: float = 5.0) -> None:
        self.weight = weight

    def __call__(self, step: Step) -> Float[Tensor, ""]:
        """The term of a step.

        Raises:
            UsageError: where the class texts are no experts.
        """
        mixture, prototypes = mixture_of(step.class_texts, "expert-prototypes")
        return self.weight * prototype_cross_entropy(mixture.soft, prototypes)
