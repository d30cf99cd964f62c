"""Classes by their names: the cosine of a vector and of the texts, as CLIP classifies (Radford et al., ICML 2021)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from torch import Tensor

from densevl.classifiers.contracts import Classifier, Examples, LinearClassifier, check_classifier
from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.core.regions import RegionEmbeddings
from densevl.core.vocabulary import Vocabulary

__all__ = ["TextClassifier", "TextMatching", "grid_logits", "region_probabilities"]


@dataclass(frozen=True, eq=False)
class TextClassifier:
    """Logits ``temperature · cosine``, the largest over the synonyms of a class.

    A class without a query (a background found by threshold) has the logit −∞. Arithmetic is that of the vectors.

    Attributes:
        texts: unit vectors of the queries of k classes.
        temperature: factor of the cosines; 100 in most reference codes.
    """

    texts: TextEmbeddings
    temperature: float = 100.0

    space = None

    @property
    def vocabulary(self) -> Vocabulary:
        """The classes."""
        return self.texts.vocabulary

    @property
    def model_id(self) -> str:
        """Identity of the encoder and its weights."""
        return self.texts.model_id

    def __call__(self, vectors: Float[Tensor, "*n d"]) -> Float[Tensor, "*n k"]:
        """Logits of unit vectors."""
        return self.of_classes(self.of_queries(vectors), -torch.inf)

    def of_queries(self, vectors: Float[Tensor, "*n d"]) -> Float[Tensor, "*n q"]:
        """Logits of each query."""
        return self.cosines(vectors).mul_(self.temperature)

    def cosines(self, vectors: Float[Tensor, "*n d"]) -> Float[Tensor, "*n q"]:
        """Cosines with each query."""
        return vectors @ self.texts.vectors.to(vectors).mT

    def of_classes(self, scores: Float[Tensor, "*n q"], absent: float = 0.0) -> Float[Tensor, "*n k"]:
        """Scores of the classes from those of their queries: the largest of each.

        Args:
            scores: of the queries.
            absent: score of a class without a query.
        """
        query_classes, classes = self.texts.query_classes, len(self.vocabulary)
        if query_classes.numel() == classes and torch.equal(query_classes.cpu(), torch.arange(classes)):
            return scores
        index = query_classes.to(scores.device).expand_as(scores)
        lowest = scores.new_full((*scores.shape[:-1], classes), absent)
        return lowest.scatter_reduce(-1, index, scores, "amax")


@dataclass(frozen=True)
class TextMatching:
    """The method behind :class:`TextClassifier`: it looks at no example."""

    name = "text"

    def fit(
        self, texts: TextEmbeddings, examples: Examples | None = None, temperature: float = 100.0
    ) -> TextClassifier:
        """A classifier of the texts alone.

        Raises:
            UsageError: where there are examples, which it would not use.
        """
        if examples is not None:
            raise UsageError("the classifier `text` uses no examples; take one that does, such as gda")
        return TextClassifier(texts, temperature)


def grid_logits(grid: Float[Tensor, "n d h w"], classifier: Callable[[Tensor], Tensor]) -> Float32[Tensor, "n k h w"]:
    """Logits of each class at each patch, in float32 whatever the dtype of the features.

    A linear classifier is a 1×1 convolution, whose results are divided by the lengths of the vectors: a quarter of the
    time of making them unit first.

    Args:
        grid: patch features, not normalised.
        classifier: from unit vectors to logits, channels last.
    """
    if isinstance(classifier, LinearClassifier):
        vectors = grid.float().flatten(2)
        lengths = vectors.square().sum(1, keepdim=True).sqrt().clamp(min=1e-12)
        logits = classifier.weight.to(vectors) @ vectors / lengths + classifier.bias.to(vectors)[:, None]
        return logits.unflatten(2, grid.shape[2:])
    units = F.normalize(grid.float().flatten(2), dim=1).mT
    return classifier(units).mT.unflatten(2, grid.shape[2:])


def region_probabilities(
    embeddings: RegionEmbeddings, classes: TextEmbeddings | Classifier, temperature: float = 100.0
) -> Float32[Tensor, "n k"]:
    """Probability of each class for each region; a class without a query has probability 0.

    Where a region was looked at in several ways, the logits of each are summed with their weights, as FGVP does; those
    of texts query by query. A classifier of a space of its own takes the one vector of a region.

    Args:
        embeddings: of n regions.
        classes: texts, or another classifier of the regions' space.
        temperature: factor of the cosines of texts.

    Raises:
        UsageError: where images and classes belong to different models.
    """
    classifier = TextClassifier(classes, temperature) if isinstance(classes, TextEmbeddings) else classes
    check_classifier(classifier, embeddings.model_id, classifier.space)
    looks = dict(embeddings.parts) if classifier.space is None else {}
    looks = looks or {"": embeddings.vectors}
    of_each = classifier.of_queries if isinstance(classifier, TextClassifier) else classifier
    weighted = [embeddings.weights.get(name, 1.0) * of_each(vectors.float()) for name, vectors in looks.items()]
    logits = torch.stack(weighted).sum(0)
    if isinstance(classifier, TextClassifier):
        logits = classifier.of_classes(logits, -torch.inf)
    return logits.softmax(dim=1)
