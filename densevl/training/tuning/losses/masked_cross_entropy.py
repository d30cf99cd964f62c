"""Cross-entropy of the classes of the current session alone: those of earlier sessions are out of the choice.

Source: D'Alessandro et al., Multimodal Parameter-Efficient Few-Shot Class Incremental Learning, ICCV workshops 2023,
https://arxiv.org/abs/2303.04751 (CPE-CLIP); reference code neuraptic/cpe-clip at commit 9309631. Of the logits z of an
example with label y, of which the first m are those of earlier classes::

    z_k = −9999   for k < m
    L = −log softmax(z)_y

No gradient pushes the texts of earlier classes away, of which a session shows no example.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.training.tuning.contracts import Step

__all__ = ["MaskedCrossEntropy", "masked_cross_entropy"]

MASKED = -9999.0


def masked_cross_entropy(logits: Float[Tensor, "b k"], labels: Int[Tensor, " b"], old: int) -> Float[Tensor, ""]:
    """Mean cross-entropy of examples, with the logits of earlier classes out of reach.

    Args:
        logits: of all classes, the earlier ones first.
        labels: class of each example.
        old: number of the earlier classes.
    """
    masked = logits.clone()
    masked[:, :old] = MASKED
    return F.cross_entropy(masked, labels)


@dataclass(frozen=True)
class MaskedCrossEntropy:
    """Cross-entropy of the classes of the current session.

    Attributes:
        weight: factor of the term.
    """

    weight: float = 1.0

    needs = ("labels",)

    def __call__(self, step: Step, /) -> Float[Tensor, ""]:
        """The term of a step.

        Raises:
            UsageError: where the examples have no labels.
        """
        if step.labels is None:
            raise UsageError("masked-cross-entropy compares with the classes of examples, and these have none")
        return self.weight * masked_cross_entropy(step.logits, step.labels, step.old)
