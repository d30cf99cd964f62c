"""Classes by their names: the cosine of a vector and of the texts, as CLIP classifies (Radford et al., ICML 2021)."""

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int
from torch import Tensor

from densevl.classifiers.contracts import Classifier, Examples, LinearClassifier, check_classifier
from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.core.regions import RegionEmbeddings
from densevl.core.transfers import upload
from densevl.core.vocabulary import Vocabulary

__all__ = ["TextClassifier", "TextMatching", "grid_logits", "pooled", "region_logits", "region_probabilities"]


@dataclass(frozen=True, eq=False)
class TextClassifier:
    """Logits ``temperature · cosine``, the largest over the synonyms of a class, of whichever class.

    A class without a query (a background found by threshold) has the logit −∞. Arithmetic is that of the vectors.

    Attributes:
        texts: unit vectors of the queries of k classes.
        temperature: factor of the cosines; 100 in most reference codes.
        tau: a class has ``log Σ exp(tau · logit) / tau`` over its queries; None for the largest, its limit.
        apart: the cosine with each template of a query by itself, averaged, rather than that with the mean of them.
        sigmoid: each class is judged by itself, by the sigmoid of its logit, and the probabilities sum to nothing.

    Raises:
        UsageError: where the templates are to be looked at one by one, and the texts do not have them.
    """

    texts: TextEmbeddings
    temperature: float = 100.0
    tau: int | float | None = None
    apart: bool = False
    sigmoid: bool = False

    space = None

    def __post_init__(self) -> None:
        if self.apart and self.texts.each is None:
            raise UsageError(
                "the texts were embedded without the vectors of each template; embed them with a segmentor that has "
                "this classifier"
            )

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
        return self.of_classes(self.of_queries(vectors))

    def of_queries(self, vectors: Float[Tensor, "*n d"]) -> Float[Tensor, "*n q"]:
        """Logits of each query."""
        return self.cosines(vectors).mul_(self.temperature)

    def cosines(self, vectors: Float[Tensor, "*n d"]) -> Float[Tensor, "*n q"]:
        """Cosines with each query."""
        each = self.texts.each
        queries = each.mean(1) if self.apart and each is not None else self.texts.vectors
        return vectors @ queries.to(vectors).mT

    def of_classes(self, logits: Float[Tensor, "*n q"]) -> Float[Tensor, "*n k"]:
        """Logits of the classes from those of their queries; −∞ for a class without a query."""
        query_classes, classes = self.texts.query_classes, len(self.vocabulary)
        if self.texts.one_each:
            return logits
        return pooled(logits, query_classes, classes, self.tau)

    def probabilities(self, logits: Float[Tensor, "*n q"], normalise: bool = True) -> Float[Tensor, "*n k"]:
        """Probabilities of the classes from the logits of their queries.

        Args:
            logits: of the queries.
            normalise: whether those of the classes sum to 1; those of all queries do otherwise, before each class
                takes the largest of its own.
        """
        classes = self.of_classes(logits)
        if self.sigmoid:
            return classes.sigmoid()
        return (classes - (classes if normalise else logits).logsumexp(-1, keepdim=True)).exp()


def pooled(
    logits: Float[Tensor, "*q"], owners: Int[Tensor, " q"], classes: int, tau: int | float | None = None, dim: int = -1
) -> Float[Tensor, "*k"]:
    """Logits of classes from those of their queries: the largest, or ``log Σ exp(tau · logit) / tau``.

    Args:
        logits: of the queries, along one axis.
        owners: index of the class of each.
        classes: number of classes; one without a query has −∞.
        tau: above 0; None for the largest.
        dim: the axis.
    """
    shape, along = list(logits.shape), [1] * logits.ndim
    shape[dim], along[dim] = classes, len(owners)
    index = upload(owners, logits.device).view(along).expand_as(logits)
    largest = logits.new_full(shape, -torch.inf).scatter_reduce(dim, index, logits, "amax")
    if tau is None:
        return largest
    above = ((logits - largest.gather(dim, index)) * tau).exp()
    return largest + torch.zeros_like(largest).scatter_add(dim, index, above).log() / tau


@dataclass(frozen=True)
class TextMatching:
    """The method behind :class:`TextClassifier`: it looks at no example.

    Attributes:
        tau: how the queries of a class are summed up; see :class:`TextClassifier`.
        apart: whether each template counts by itself.
        sigmoid: whether each class is judged by itself.

    Raises:
        UsageError: where tau is not above 0.
    """

    tau: int | float | None = None
    apart: bool = False
    sigmoid: bool = False

    def __post_init__(self) -> None:
        if self.tau is not None and not self.tau > 0:
            raise UsageError(f"tau must be above 0, or None for the largest of a class; got {self.tau!r}")

    @property
    def name(self) -> str:
        """Its kind, and the settings that are not the usual ones."""
        settings = [f"{one.name}={getattr(self, one.name)}" for one in fields(self) if getattr(self, one.name)]
        return f"text({', '.join(settings)})" if settings else "text"

    @property
    def reads_templates(self) -> bool:
        """True where it reads the vectors of each template."""
        return self.apart

    def fit(
        self, texts: TextEmbeddings, examples: Examples | None = None, temperature: float = 100.0
    ) -> TextClassifier:
        """A classifier of the texts alone.

        Raises:
            UsageError: where there are examples, which it would not use.
        """
        if examples is not None:
            raise UsageError("the classifier `text` uses no examples; take one that does, such as gda")
        return TextClassifier(texts, temperature, self.tau, self.apart, self.sigmoid)


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

    Args:
        embeddings: of n regions.
        classes: texts, or another classifier of the regions' space.
        temperature: factor of the cosines of texts.

    Raises:
        UsageError: where images and classes belong to different models.
    """
    classifier = TextClassifier(classes, temperature) if isinstance(classes, TextEmbeddings) else classes
    logits = region_logits(embeddings, classifier)
    return classifier.probabilities(logits) if isinstance(classifier, TextClassifier) else logits.softmax(dim=1)


def region_logits(embeddings: RegionEmbeddings, classifier: Classifier) -> Float32[Tensor, "n q"]:
    """Logits of each region: of each query of texts, of each class else.

    Where a region was looked at in several ways, the logits of each are summed with their weights, as FGVP does; those
    of texts query by query. A classifier of a space of its own takes the one vector of a region.

    Args:
        embeddings: of n regions.
        classifier: of their space.

    Raises:
        UsageError: where images and classes belong to different models.
    """
    check_classifier(classifier, embeddings.model_id, classifier.space)
    looks = dict(embeddings.parts) if classifier.space is None else {}
    looks = looks or {"": embeddings.vectors}
    of_each = classifier.of_queries if isinstance(classifier, TextClassifier) else classifier
    weighted = [embeddings.weights.get(name, 1.0) * of_each(vectors.float()) for name, vectors in looks.items()]
    return torch.stack(weighted).sum(0)
