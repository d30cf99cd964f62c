"""The arithmetic of Gaussian classes of one covariance: weights and biases of linear classifiers.

Source: as :mod:`densevl.classifiers.gda`, whose equations these are.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["gaussian_weights", "new_class_weights", "shrunk_precision", "weights_of"]


def gaussian_weights(
    vectors: Float[Tensor, "n d"], labels: Int[Tensor, " n"], classes: int, shrink: bool = True
) -> tuple[Float[Tensor, "{classes} d"], Float[Tensor, " {classes}"]]:
    """Weights and biases of the classes.

    Args:
        vectors: the examples.
        labels: class of each; each class has one at least.
        classes: number of classes.
        shrink: the estimate of the few-shot branch, see :func:`shrunk_precision`; False for the mean of the
            classes' covariances.
    """
    labels = labels.to(vectors.device)
    means = torch.stack([vectors[labels == index].mean(dim=0) for index in range(classes)])
    centred = vectors - means[labels]
    if shrink:
        precision = shrunk_precision(centred)
    else:
        covariances = [torch.cov(centred[labels == index].mT) for index in range(classes)]
        precision = torch.linalg.pinv(torch.stack(covariances).mean(dim=0))
    return weights_of(means, precision)


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
    return weights_of(means, precision)


def shrunk_precision(centred: Float[Tensor, "n d"]) -> Float[Tensor, "d d"]:
    """Kubokawa and Srivastava's estimate of the inverse covariance of centred vectors, fewer than numbers too."""
    count, width = centred.shape
    covariance = centred.mT @ centred / (count - 1)
    identity = torch.eye(width, dtype=centred.dtype, device=centred.device)
    return width * torch.linalg.pinv((count - 1) * covariance + covariance.trace() * identity)


def weights_of(
    means: Float[Tensor, "k d"], precision: Float[Tensor, "d d"]
) -> tuple[Float[Tensor, "k d"], Float[Tensor, " k"]]:
    """Weights and biases of classes of these means and one inverse covariance."""
    weight = means @ precision.mT
    return weight, -math.log(len(means)) - (weight * means).sum(dim=1) / 2
