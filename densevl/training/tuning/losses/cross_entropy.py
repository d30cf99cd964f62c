"""Cross-entropy of the classes, as every method of tuning by labels has it.

Smoothing: Szegedy et al., Rethinking the Inception Architecture for Computer Vision, CVPR 2016,
https://arxiv.org/abs/1512.00567: a fraction of the target is spread evenly over all classes.
"""

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.training.tuning.contracts import Step

__all__ = ["CrossEntropy", "smoothed_cross_entropy"]


def smoothed_cross_entropy(
    logits: Float[Tensor, "b k"], labels: Int[Tensor, " b"], smoothing: float = 0.0
) -> Float[Tensor, ""]:
    """Mean cross-entropy of logits and labels.

    Args:
        logits: of each example.
        labels: class of each.
        smoothing: fraction of the target that is spread evenly over all classes, in [0, 1).
    """
    return F.cross_entropy(logits, labels, label_smoothing=smoothing)


class CrossEntropy:
    """The cross-entropy of scaled cosines and labels.

    Args:
        weight: factor of the term.
        smoothing: fraction of the target that is spread evenly over all classes, in [0, 1).

    Raises:
        UsageError: where the smoothing is outside.
    """

    needs = ("labels",)

    def __init__(self, weight: float = 1.0, smoothing: float = 0.0) -> None:
        if not 0 <= smoothing < 1:
            raise UsageError(f"cross-entropy: smoothing is a fraction of the target in [0, 1); got {smoothing}")
        self.weight, self.smoothing = weight, smoothing

    def __call__(self, step: Step) -> Float[Tensor, ""]:
        """The term of a step.

        Raises:
            UsageError: where the examples have no labels.
        """
        if step.labels is None:
            raise UsageError("cross-entropy needs examples with names; tune without names by --method nola")
        return self.weight * smoothed_cross_entropy(step.logits, step.labels, self.smoothing)
