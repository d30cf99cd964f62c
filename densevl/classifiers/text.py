"""Class probabilities from text embeddings."""

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from densevl.core.features import TextEmbeddings, check_same_model
from densevl.core.regions import RegionEmbeddings

__all__ = ["class_probabilities", "region_probabilities"]


def class_probabilities(
    grid: Float[Tensor, "n d h w"], texts: TextEmbeddings, temperature: float = 100.0
) -> Float32[Tensor, "n k h w"]:
    """Probability of each class at each patch.

    Cosine of patch and query, the largest over the synonyms of a class, then softmax(temperature · cosine) over the
    classes. A class without a query (a background found by threshold) has probability 0. Arithmetic is float32
    whatever the dtype of the features.

    Args:
        grid: patch features, not normalised.
        texts: unit vectors of the queries of k classes.
        temperature: multiplies the cosines; 100 in both reference codes.
    """
    n, _, h, w = grid.shape
    classes = len(texts.vocabulary)
    features = nn.functional.normalize(grid.float().flatten(2), dim=1)
    cosines = texts.vectors.to(features) @ features
    if texts.query_classes.numel() != classes or not torch.equal(texts.query_classes.cpu(), torch.arange(classes)):
        query_classes = texts.query_classes.to(cosines.device)[None, :, None].expand_as(cosines)
        lowest = cosines.new_full((n, classes, h * w), -torch.inf)
        cosines = lowest.scatter_reduce(1, query_classes, cosines, "amax")
    return cosines.mul_(temperature).softmax(dim=1).unflatten(2, (h, w))


def region_probabilities(
    embeddings: RegionEmbeddings, texts: TextEmbeddings, temperature: float = 100.0
) -> Float32[Tensor, "n k"]:
    """Probability of each class for each region; see step 3 above. A class without a query has probability 0.

    Raises:
        UsageError: where images and texts were embedded by different models.
    """
    check_same_model(embeddings, texts)
    cosines = embeddings.cosines(texts.vectors).float()
    query_classes = texts.query_classes.to(cosines.device).expand_as(cosines)
    lowest = cosines.new_full((len(cosines), len(texts.vocabulary)), -torch.inf)
    return (temperature * lowest.scatter_reduce(1, query_classes, cosines, "amax")).softmax(1)
