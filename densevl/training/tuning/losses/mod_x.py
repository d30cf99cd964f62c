"""Mod-X: the similarities of a batch stay as they were, wherever the earlier model had them right.

Source: Ni et al., Continual Vision-Language Representation Learning with Off-Diagonal Information, ICML 2023,
https://arxiv.org/abs/2305.07437; reference code ZixuanNi/Mod-X at commit a6a2f6c. With the matrix M of the cosines of
the images and the texts of a batch, now and by the earlier model::

    M*_i = M'_i, the row of the earlier model, where its largest entry is that of the own text, else M_i (no gradient)
    L = ½ [ Σ_i KL(softmax(M*_i) ‖ softmax(M_i))  +  the same for the rows of Mᵀ ]

As published, the softmax is of raw cosines, rows are summed over the batch, and the own entry is not left out.

Where we differ: the texts are names of classes, and two images may have one text, which then is one row and one column;
a row of such a text is right where the nearest image is any of its own. With different texts nothing differs.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.training.tuning.contracts import Step
from densevl.training.tuning.losses.info_nce import shown_texts

__all__ = ["ModX", "alignment", "kept_rows", "off_diagonal"]


def kept_rows(old: Float[Tensor, "n m"], new: Float[Tensor, "n m"], right: Bool[Tensor, "n m"]) -> Float[Tensor, "n m"]:
    """The rows to stay at: the earlier ones where their largest entry is right, else the current ones; no gradient.

    Args:
        old: cosines by the earlier model.
        new: cosines by the current one.
        right: which entries join what belongs together.
    """
    mistaken = ~right.gather(1, old.argmax(1, keepdim=True))
    return torch.where(mistaken, new, old).detach()


def alignment(kept: Float[Tensor, "n m"], new: Float[Tensor, "n m"]) -> Float[Tensor, ""]:
    """Divergence of the current rows from those to stay at, as distributions, summed over the rows."""
    wanted = kept.log_softmax(1)
    return (wanted.exp() * (wanted - new.log_softmax(1))).sum()


def off_diagonal(old: Float[Tensor, "b p"], new: Float[Tensor, "b p"], owners: Int[Tensor, " b"]) -> Float[Tensor, ""]:
    """Half of the divergence of both directions.

    Args:
        old: cosines of images and texts by the earlier model.
        new: cosines by the current one.
        owners: the text of each image.
    """
    right = owners[:, None] == torch.arange(new.shape[1], device=new.device)
    rows = alignment(kept_rows(old, new, right), new)
    columns = alignment(kept_rows(old.mT, new.mT, right.mT), new.mT)
    return (rows + columns) / 2


@dataclass(frozen=True)
class ModX:
    """Divergence of the similarities of a batch from those of the earlier model.

    Attributes:
        weight: factor of the term, the α of the paper; what it does grows with the batch.
    """

    weight: float = 20.0

    needs = ("labels", "before")

    def __call__(self, step: Step, /) -> Float[Tensor, ""]:
        """The term of a step.

        Raises:
            UsageError: where the examples have no labels, the texts depend on the image, or nothing is known of the
                earlier model.
        """
        if step.before is None:
            raise UsageError("mod-x stays near an earlier model, and nothing is known of one")
        shown, owners = shown_texts(step)
        vectors, texts = step.before
        old, new = vectors @ texts[shown].mT, step.look.vectors @ step.texts[shown].mT
        return self.weight * off_diagonal(old, new, owners)
