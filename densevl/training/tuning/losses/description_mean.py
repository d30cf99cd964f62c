"""Learnt class texts stay near the mean of what describes their classes.

Source: Koleilat et al., BiomedCoOp: Learning to Prompt for Biomedical Vision-Language Models, CVPR 2025,
https://arxiv.org/abs/2411.15232, its semantic consistency by contextual mapping; HealthX-Lab/BiomedCoOp at commit
7ceb5a8 (MIT). With unit vectors ``e_kj`` of the descriptions of class k: ``mean over k and numbers of (t_k − ē_k)²``,
``ē_k`` the unit vector of ``mean over j of e_kj``.
"""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from densevl.training.tuning.contracts import Step
from densevl.training.tuning.descriptions import of_step

__all__ = ["DescriptionMean", "distance_to_mean"]


def distance_to_mean(
    texts: Float[Tensor, "k d"] | Float[Tensor, "b k d"], descriptions: Float[Tensor, "k m d"]
) -> Float[Tensor, ""]:
    """Mean squared difference of class texts and the means of their descriptions, over classes and numbers.

    Args:
        texts: unit vectors, of each image by itself where they depend on it.
        descriptions: unit vectors of the descriptions of each class.
    """
    means = F.normalize(descriptions.mean(dim=1), dim=-1)
    return (texts - means).square().mean()


class DescriptionMean:
    """The distance of the class texts from the means of their descriptions.

    Args:
        weight: factor of the term; published by data set, 0.25 to 20.
    """

    needs = ("descriptions",)

    def __init__(self, weight: float = 1.0) -> None:
        self.weight = weight

    def __call__(self, step: Step) -> Float[Tensor, ""]:
        """The term of a step.

        Raises:
            UsageError: where there are no descriptions.
        """
        return self.weight * distance_to_mean(step.texts, of_step(step, "description-mean"))
