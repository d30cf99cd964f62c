"""IoU-single: how well a class is found where it is asked for alone.

After Wysoczańska et al., Test-time Contrastive Concepts for Open-world Semantic Segmentation with Vision-Language
Models (TMLR 2025, https://arxiv.org/abs/2407.05061): each class that an image shows is asked for by itself; what the
answer gives to anything else is background. Here the intersections and unions of a class are summed over the images
that show it, and the mean is over the classes, as mIoU has it. The authors' code of the metric is not public.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool
from torch import Tensor

__all__ = ["SingleIoU"]


class SingleIoU:
    """Sums of intersections and unions of classes that were asked for one at a time.

    Args:
        classes: number of classes.
    """

    def __init__(self, classes: int) -> None:
        self.intersections = torch.zeros(classes, dtype=torch.int64)
        self.unions = torch.zeros(classes, dtype=torch.int64)

    def add(
        self, label: int, found: Bool[Tensor, "H W"], truth: Bool[Tensor, "H W"], counted: Bool[Tensor, "H W"]
    ) -> None:
        """Count an answer.

        Args:
            label: the class that was asked for.
            found: pixels that it got.
            truth: pixels that show it.
            counted: pixels whose truth is known.
        """
        self.intersections[label] += (found & truth & counted).sum().cpu()
        self.unions[label] += ((found | truth) & counted).sum().cpu()

    def mean(self, labels: Sequence[int] | None = None) -> float:
        """Mean IoU in percent over the classes that were asked for; nan where none of them was.

        Args:
            labels: classes that count; None for all.
        """
        chosen = torch.arange(len(self.unions)) if labels is None else torch.as_tensor(list(labels))
        asked = chosen[self.unions[chosen] > 0]
        return 100 * (self.intersections[asked] / self.unions[asked]).mean().item()
