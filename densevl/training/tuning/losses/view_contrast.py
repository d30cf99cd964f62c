"""Two views of an image are alike, and unlike those of the other images of a batch.

Source: Chen et al., A Simple Framework for Contrastive Learning of Visual Representations (SimCLR), ICML 2020,
https://arxiv.org/abs/2002.05709; as a term of GOPro (Singha et al., BMVC 2023, https://arxiv.org/abs/2308.11605;
mainaksingha01/GOPro at commit e284586, MIT): cross-entropy of the 2b − 1 other views of a batch under
``cosine / temperature``, the other view of the same image being the right one.

A projector, linear and normalised over the batch, comes first. It is learnt with the term and thrown away. Where the
image tower stays as it is, as published, nothing else gets a gradient of this term.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from densevl.core.errors import UsageError
from densevl.training.tuning.contracts import Step
from densevl.training.tuning.views import check_view, of_step

__all__ = ["ViewContrast", "view_cross_entropy"]


def view_cross_entropy(
    first: Float[Tensor, "b e"], second: Float[Tensor, "b e"], temperature: float = 0.1
) -> Float[Tensor, ""]:
    """Cross-entropy of finding the other view of each image, mean over all views.

    Args:
        first: a view of each image; not normalised.
        second: another view of each image; not normalised.
        temperature: what cosines are divided by.
    """
    count = len(first)
    both = F.normalize(torch.cat([first, second]), dim=1)
    logits = both @ both.mT / temperature
    itself = torch.eye(2 * count, dtype=torch.bool, device=both.device)
    others = torch.arange(2 * count, device=both.device).roll(count)
    return F.cross_entropy(logits.masked_fill(itself, float("-inf")), others)


class ViewContrast(nn.Module):
    """The contrast of two views of the images of a batch.

    Args:
        width: of the vectors of images, and of the projector.
        views: how the two are changed; of :data:`densevl.training.tuning.views.VIEWS`.
        temperature: what cosines are divided by.
        weight: factor of the term.

    Raises:
        UsageError: where there are not two views, one is unknown, or the temperature is not positive.
    """

    def __init__(
        self,
        width: int = 512,
        views: Sequence[str] = ("moco", "augmix"),
        temperature: float = 0.1,
        weight: float = 0.1,
    ) -> None:
        super().__init__()
        if len(views) != 2 or temperature <= 0:
            raise UsageError(
                f"view-contrast compares two views at a temperature above 0; got {list(views)} and {temperature}"
            )
        self.width, self.views, self.temperature = width, tuple(map(check_view, views)), temperature
        self.weight = weight
        self.needs = tuple(f"view:{view}" for view in dict.fromkeys(self.views))
        self.projector = nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width))

    def forward(self, step: Step) -> Float[Tensor, ""]:
        """The term of a step.

        Raises:
            UsageError: where vectors of images have another width, or a batch is of one image.
        """
        first, second = (of_step(step, view).vectors for view in self.views)
        if first.shape[1] != self.width:
            raise UsageError(
                f"view-contrast: images have vectors of {first.shape[1]} numbers, and width={self.width}; change it, "
                f"as with --set losses.3.width={first.shape[1]}"
            )
        if len(first) < 2:
            raise UsageError("view-contrast tells images of a batch apart; take batches of two or more")
        return self.weight * view_cross_entropy(self.projector(first), self.projector(second), self.temperature)
