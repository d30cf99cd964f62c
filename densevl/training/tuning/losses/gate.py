"""A gate learns which groups of templates suit an image.

Source: Du et al., Mixture of Prompt Learning for Vision Language Models (MoCoOp), 2024,
https://arxiv.org/abs/2409.12011; dyabel/mocoop at commit 04b5d2a (no licence: facts only). With ``c_g`` the cosine of
the image and of its class by the templates of group g: cross-entropy of the gate against
``softmax over g of (c_g + 10 where g is among the two highest)``.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.encoders.tuning.experts import mixture_of
from densevl.training.tuning.contracts import Step

__all__ = ["Gate", "gate_cross_entropy", "gate_targets"]

BONUS = 10.0
"""What is added to the cosines of the groups that an image should take."""


def gate_targets(
    vectors: Float[Tensor, "b d"], prototypes: Float[Tensor, "g k d"], labels: Int[Tensor, " b"], chosen: int
) -> Float[Tensor, "b g"]:
    """Probabilities of the groups that suit each image.

    Args:
        vectors: unit vectors of images.
        prototypes: unit vectors of classes by the templates of each group.
        labels: class of each image.
        chosen: groups that get the bonus.
    """
    cosines = torch.einsum("bd,gbd->bg", vectors, prototypes[:, labels])
    highest = cosines.topk(chosen, dim=1).indices
    return (cosines + BONUS * torch.zeros_like(cosines).scatter(1, highest, 1.0)).softmax(-1)


def gate_cross_entropy(logits: Float[Tensor, "b g"], targets: Float[Tensor, "b g"]) -> Float[Tensor, ""]:
    """Mean cross-entropy of a gate.

    Args:
        logits: of the gate.
        targets: probabilities of the groups.
    """
    return F.cross_entropy(logits, targets)


class Gate:
    """The cross-entropy of a gate against the groups of templates that suit the images.

    Args:
        weight: factor of the term.
    """

    needs = ("labels",)

    def __init__(self, weight: float = 1.0) -> None:
        self.weight = weight

    def __call__(self, step: Step) -> Float[Tensor, ""]:
        """The term of a step.

        Raises:
            UsageError: where the class texts are no experts, or the examples have no labels.
        """
        mixture, prototypes = mixture_of(step.class_texts, "gate")
        if step.labels is None:
            raise UsageError("gate needs examples with names; tune without names by --method nola")
        targets = gate_targets(step.look.vectors.detach(), prototypes, step.labels, mixture.chosen.shape[1])
        return self.weight * gate_cross_entropy(mixture.gate, targets)
