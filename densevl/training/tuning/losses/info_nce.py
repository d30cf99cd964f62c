"""The contrastive loss of images and their texts, with the names of classes as texts.

Source: van den Oord et al., Representation Learning with Contrastive Predictive Coding, 2018,
https://arxiv.org/abs/1807.03748, as CLIP has it (Radford et al., ICML 2021). Of b images x, the texts t of the classes
that the batch shows, and the factor s of cosines::

    L = ½ [ mean_i −log softmax_t(s x_i · t)_{text of i}  +  mean_t −log softmax_i(s t · x_i)_{image of t} ]

Where two images of a batch have one text, it is one text: each of the images finds it, and it finds either as well.
With different texts this is the usual loss.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.training.tuning.contracts import Step

__all__ = ["InfoNCE", "info_nce", "shown_texts"]


def shown_texts(step: Step) -> tuple[Int[Tensor, " p"], Int[Tensor, " b"]]:
    """The classes that a batch shows, and which of them each example is of.

    Raises:
        UsageError: where the examples have no labels, or the texts depend on the image.
    """
    if step.labels is None:
        raise UsageError("info-nce and mod-x compare images with the texts of their classes, and these have none")
    if step.texts.ndim != 2:
        raise UsageError("info-nce and mod-x compare images with each other's texts, which here depend on the image")
    shown, owners = step.labels.unique(return_inverse=True)
    return shown, owners


def info_nce(cosines: Float[Tensor, "b p"], owners: Int[Tensor, " b"], temperature: float) -> Float[Tensor, ""]:
    """Mean of both directions.

    Args:
        cosines: of images and texts.
        owners: the text of each image; each text has one.
        temperature: factor of the cosines.
    """
    logits = temperature * cosines
    own = F.one_hot(owners, cosines.shape[1]).to(logits.dtype)
    to_images = -(logits.log_softmax(0) * own).sum(0) / own.sum(0)
    return (F.cross_entropy(logits, owners) + to_images.mean()) / 2


@dataclass(frozen=True)
class InfoNCE:
    """The contrastive loss of a batch.

    Attributes:
        weight: factor of the term.
    """

    weight: float = 1.0

    needs = ("labels",)

    def __call__(self, step: Step, /) -> Float[Tensor, ""]:
        """The term of a step.

        Raises:
            UsageError: where the examples have no labels, or the texts depend on the image.
        """
        shown, owners = shown_texts(step)
        return self.weight * info_nce(_cosines(step.look.vectors, step.texts[shown]), owners, step.temperature)


def _cosines(vectors: Float[Tensor, "b d"], texts: Float[Tensor, "p d"]) -> Float[Tensor, "b p"]:
    return torch.einsum("bd,pd->bp", vectors, texts)
