"""Gaussian discriminant analysis: classes as Gaussians of one covariance, with the texts beside them.

Source: Wang et al., A Hard-to-Beat Baseline for Training-free CLIP-based Adaptation, ICLR 2024,
https://arxiv.org/abs/2402.04087; reference code mrflogs/ICLR24 at commit 560fe21. With the mean μ_k of each of K
classes, the centred vectors C of N examples of d numbers, and Σ = cov(C)::

    P = d · pinv((N − 1) Σ + tr(Σ) I)                       Kubokawa and Srivastava's estimate of Σ⁻¹
    W_k = P μ_k      b_k = −log K − ½ μ_kᵀ P μ_k
    logits = temperature · x · t_k + α (x · W_k + b_k)

Where we differ: synonyms of a class are reduced by their maximum, as everywhere here; a class without examples, or one
example a class, which leaves no covariance, is an error; α is an argument, not searched on test images.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from densevl.classifiers.contracts import Examples, LinearClassifier, SumClassifier
from densevl.classifiers.text import TextClassifier
from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings

__all__ = ["GDA", "gaussian_weights", "new_class_weights", "shrunk_precision"]


@dataclass(frozen=True)
class GDA:
    """Gaussian discriminant analysis of examples, added to the texts.

    Attributes:
        alpha: weight of the analysis beside the texts; from 0 (texts alone).
        shrink: shrink the covariance as the few-shot branch does; False takes the mean of the classes' covariances and
            its pseudo-inverse, as the branch from base to new classes does, which wants more examples than numbers.
    """

    alpha: float = 1.0
    shrink: bool = True

    def __post_init__(self) -> None:
        if self.alpha < 0:
            raise UsageError(f"alpha is the weight of the examples beside the texts, 0 or more; got {self.alpha}")

    @property
    def name(self) -> str:
        """Its kind and settings."""
        return f"gda(alpha={self.alpha:g}, shrink={self.shrink})"

    def fit(self, texts: TextEmbeddings, examples: Examples | None = None, temperature: float = 100.0) -> SumClassifier:
        """A classifier of the vocabulary of the texts.

        Args:
            texts: the vocabulary, embedded.
            examples: at least one of each class, and in all more than there are classes.
            temperature: factor of the cosines of the texts.

        Raises:
            UsageError: where there are no examples, a class has none, or they belong to another model.
        """
        if examples is None:
            raise UsageError("the classifier `gda` learns from examples, and there are none; give some, or take `text`")
        if examples.model_id != texts.model_id:
            raise UsageError(
                f"the examples are vectors of {examples.model_id!r} and the texts of {texts.model_id!r}; "
                "take the same model for both"
            )
        classes = len(texts.vocabulary)
        counts = torch.bincount(examples.labels.cpu(), minlength=classes)
        if len(counts) > classes or not counts.all() or len(examples.labels) <= classes:
            missing = [texts.vocabulary.names[i] for i in (counts[:classes] == 0).nonzero().flatten().tolist()]
            raise UsageError(
                f"gda wants an example of each of {classes} classes, and more examples than classes; got "
                f"{len(examples.labels)}" + (f", none of {', '.join(missing)}" if missing else "")
            )
        weight, bias = gaussian_weights(examples.vectors.float(), examples.labels, classes, self.shrink)
        gaussian = LinearClassifier(weight, bias, texts.vocabulary, examples.model_id, examples.space)
        return SumClassifier((TextClassifier(texts, temperature), gaussian), (1.0, self.alpha))


def gaussian_weights(
    vectors: Float[Tensor, "n d"], labels: Int[Tensor, " n"], classes: int, shrink: bool = True
) -> tuple[Float[Tensor, "{classes} d"], Float[Tensor, " {classes}"]]:
    """Weights and biases of the classes.

    Args:
        vectors: the examples.
        labels: class of each; each class has one at least.
        classes: number of classes.
        shrink: the estimate of the few-shot branch, see above; False for the mean of the classes' covariances.
    """
    labels = labels.to(vectors.device)
    means = torch.stack([vectors[labels == index].mean(dim=0) for index in range(classes)])
    centred = vectors - means[labels]
    if shrink:
        precision = shrunk_precision(centred)
    else:
        covariances = [torch.cov(centred[labels == index].mT) for index in range(classes)]
        precision = torch.linalg.pinv(torch.stack(covariances).mean(dim=0))
    return _weights(means, precision)


def new_class_weights(
    vectors: Float[Tensor, "n d"], texts: Float[Tensor, "k d"], neighbours: int = 64, copies: int = 16
) -> tuple[Float[Tensor, "k d"], Float[Tensor, " k"]]:
    """Weights and biases of classes that have no example, by the examples of others nearest to their texts.

    A class's mean is that of its nearest examples and of copies of its text; its covariance is that of these examples
    about the text, and the precision is the mean over the classes.

    Args:
        vectors: unit vectors of examples, whatever their class.
        texts: unit vectors, one a class.
        neighbours: nearest examples that are taken of each text.
        copies: of the text, that its mean counts.
    """
    nearest = vectors[(texts @ vectors.mT).topk(min(neighbours, len(vectors)), dim=1).indices]
    means = (nearest.sum(dim=1) + copies * texts) / (nearest.shape[1] + copies)
    precision = torch.stack([shrunk_precision(near - text) for near, text in zip(nearest, texts, strict=True)]).mean(0)
    return _weights(means, precision)


def shrunk_precision(centred: Float[Tensor, "n d"]) -> Float[Tensor, "d d"]:
    """Kubokawa and Srivastava's estimate of the inverse covariance of centred vectors, fewer than numbers too."""
    count, width = centred.shape
    covariance = centred.mT @ centred / (count - 1)
    identity = torch.eye(width, dtype=centred.dtype, device=centred.device)
    return width * torch.linalg.pinv((count - 1) * covariance + covariance.trace() * identity)


def _weights(
    means: Float[Tensor, "k d"], precision: Float[Tensor, "d d"]
) -> tuple[Float[Tensor, "k d"], Float[Tensor, " k"]]:
    weight = means @ precision.mT
    return weight, -math.log(len(means)) - (weight * means).sum(dim=1) / 2
