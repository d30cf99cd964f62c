"""Learnt class texts answer as the descriptions do that are of use for the examples at hand.

Source: Koleilat et al., BiomedCoOp: Learning to Prompt for Biomedical Vision-Language Models, CVPR 2025,
https://arxiv.org/abs/2411.15232, its knowledge distillation with selective prompting; HealthX-Lab/BiomedCoOp at commit
7ceb5a8 (MIT). The j-th descriptions of all classes are one set of class texts. Its score is the mean over the examples
of its highest logit. Sets whose score is further than τ standard deviations from the mean score are left out. The mean
of the others is the teacher: ``KL(softmax(teacher logits) ‖ softmax(logits))``, mean over examples and classes.

The reference calls its rule one of medians; a standardisation of scores that were centred and scaled before takes these
out again, so that the plain standardisation is the same rule.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.training.tuning.contracts import Step
from densevl.training.tuning.descriptions import of_step

__all__ = ["DescriptionTeacher", "distilled", "kept_sets", "teacher_texts"]


def kept_sets(logits: Float[Tensor, "m b k"], limit: float) -> Bool[Tensor, " m"]:
    """Sets of class texts whose score is near the mean score.

    Args:
        logits: of each set, of each example.
        limit: standard deviations that a score may differ from the mean.
    """
    scores = logits.amax(dim=-1).mean(dim=-1)
    if len(scores) < 2:
        return torch.ones_like(scores, dtype=torch.bool)
    deviations = (scores - scores.mean()).abs()
    return deviations <= limit * scores.std()  # the same for equal scores, whose deviation is 0


def teacher_texts(descriptions: Float[Tensor, "k m d"], kept: Bool[Tensor, " m"]) -> Float[Tensor, "k d"]:
    """Unit vectors of classes, from the sets that were kept.

    Args:
        descriptions: unit vectors of the descriptions of each class.
        kept: of the sets.
    """
    return F.normalize(descriptions[:, kept].mean(dim=1), dim=-1)


def distilled(logits: Float[Tensor, "b k"], teacher: Float[Tensor, "b k"]) -> Float[Tensor, ""]:
    """Divergence of probabilities from those of a teacher, mean over examples and classes.

    Args:
        logits: that learn.
        teacher: logits that are taken as given.
    """
    divergence = F.kl_div(logits.log_softmax(-1), teacher.log_softmax(-1), reduction="sum", log_target=True)
    return divergence / logits.numel()


class DescriptionTeacher:
    """The divergence of the answers of the class texts from those of their descriptions.

    Args:
        weight: factor of the term; published by data set, 0.25 to 3.
        limit: standard deviations that the score of a set of descriptions may differ from the mean score; published by
            data set, 1.25 to 2.

    Raises:
        UsageError: where the limit keeps no set for certain.
    """

    needs = ("descriptions",)

    def __init__(self, weight: float = 1.0, limit: float = 1.5) -> None:
        if limit < 1:  # of any numbers one is at most a standard deviation away from their mean
            raise UsageError(f"description-teacher: limit is 1 standard deviation or more; got {limit}")
        self.weight, self.limit = weight, limit

    def __call__(self, step: Step) -> Float[Tensor, ""]:
        """The term of a step.

        Raises:
            UsageError: where there are no descriptions.
        """
        descriptions, vectors = of_step(step, "description-teacher"), step.look.vectors.detach()
        with torch.no_grad():
            logits = step.temperature * torch.einsum("bd,kmd->mbk", vectors, descriptions)
            texts = teacher_texts(descriptions, kept_sets(logits, self.limit))
            teacher = step.temperature * vectors @ texts.mT
        return self.weight * distilled(step.logits, teacher)
