"""Nearest neighbours: the share of each class in the similarity of the k nearest of many labelled vectors.

Source: image retrieval as evidence, as in Orchestrator-Agent Trust (Applied-AI-Research-Lab at commit cd52379, MIT): of
the k = 10 images of largest cosine, the share of a class in the sum of cosines is its confidence. The neighbours
themselves are at hand, so that an answer can be looked at. Where we differ: a cosine below 0 counts as 0; a class
without a neighbour has a share of one in a million instead of none, so that its logarithm is finite.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from densevl.classifiers.contracts import Examples, check_examples
from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.core.vocabulary import Vocabulary

__all__ = ["NeighbourClassifier", "Neighbours"]

LEAST = 1e-6
"""Share of a class that has no neighbour."""


@dataclass(frozen=True, eq=False)
class NeighbourClassifier:
    """Logits: the logarithms of the shares of the classes among the nearest vectors.

    Attributes:
        keys: labelled unit vectors.
        owners: class of each.
        count: number of neighbours that are asked, fewer where there are fewer.
        vocabulary: the classes.
        model_id: identity of the encoder and its weights.
        space: which vectors of the model it takes; see :class:`densevl.classifiers.contracts.Classifier`.
    """

    keys: Float[Tensor, "n d"]
    owners: Int[Tensor, " n"]
    count: int
    vocabulary: Vocabulary
    model_id: str
    space: str | None = None

    def __call__(self, vectors: Float[Tensor, "*n d"]) -> Float[Tensor, "*n k"]:
        """Logits of unit vectors."""
        return self.shares(vectors).clamp(min=LEAST).log()

    def shares(self, vectors: Float[Tensor, "*n d"]) -> Float[Tensor, "*n k"]:
        """Share of each class in the similarity of the neighbours; even where no neighbour is alike at all."""
        similar, rows = self.nearest(vectors)
        similar = similar.clamp(min=0)
        similar = torch.where(similar.sum(-1, keepdim=True) > 0, similar, 1.0)
        sums = similar.new_zeros(*similar.shape[:-1], len(self.vocabulary))
        sums = sums.scatter_add(-1, self.owners.to(rows.device)[rows], similar)
        return sums / similar.sum(-1, keepdim=True)

    def nearest(self, vectors: Float[Tensor, "*n d"]) -> tuple[Float[Tensor, "*n m"], Int[Tensor, "*n m"]]:
        """Cosines with the nearest labelled vectors, the largest first, and their rows."""
        found = (vectors @ self.keys.to(vectors).mT).topk(min(self.count, len(self.keys)), dim=-1)
        return found.values, found.indices


@dataclass(frozen=True)
class Neighbours:
    """Shares of the classes among the nearest examples.

    Attributes:
        count: number of neighbours that are asked.
    """

    count: int = 10

    def __post_init__(self) -> None:
        if self.count < 1:
            raise UsageError(f"neighbours: count is the number that are asked, 1 or more; got {self.count}")

    @property
    def name(self) -> str:
        """Its kind and settings."""
        return f"neighbours(count={self.count})"

    def fit(
        self, texts: TextEmbeddings, examples: Examples | None = None, temperature: float = 100.0
    ) -> NeighbourClassifier:
        """A classifier of the classes of the texts.

        Args:
            texts: the vocabulary; its vectors are not looked at.
            examples: labelled vectors, at least one of each class.
            temperature: not used, since the shares are probabilities.

        Raises:
            UsageError: where there are no examples, a class has none, or they cannot be used.
        """
        found = check_examples("neighbours", texts, examples, every_class=True)
        return NeighbourClassifier(
            found.vectors, found.labels, self.count, texts.vocabulary, found.model_id, found.space
        )
