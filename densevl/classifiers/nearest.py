"""Nearest example: a class scores as the one of its examples that is most alike; few-shot inspection.

Source: Megahed et al., few-shot inspection with CLIP, 2025; successor code fmegahed/conformal_clip at commit 1999278
(MIT). The score of a class is the largest cosine with an example of it, and the probabilities are a softmax of the
scores. Where we differ: the temperature of the softmax is chosen out of fold within the examples, unless it is given;
the code takes 1, at which every answer is nearly even. The texts have no part in it.
"""

import math
from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from densevl.classifiers.contracts import Examples, check_examples
from densevl.classifiers.folds import fitted_weights, fold_numbers, other_folds
from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.core.vocabulary import Vocabulary

__all__ = ["NearestClassifier", "NearestExample", "largest_of_classes"]


@dataclass(frozen=True, eq=False)
class NearestClassifier:
    """Logits ``temperature · largest cosine with an example of the class``.

    Attributes:
        keys: unit vectors of the examples.
        owners: class of each; each class has one at least.
        temperature: factor of the cosines.
        vocabulary: the classes.
        model_id: identity of the encoder and its weights.
        space: which vectors of the model it takes; see :class:`densevl.classifiers.contracts.Classifier`.
    """

    keys: Float[Tensor, "n d"]
    owners: Int[Tensor, " n"]
    temperature: float
    vocabulary: Vocabulary
    model_id: str
    space: str | None = None

    def __call__(self, vectors: Float[Tensor, "*n d"]) -> Float[Tensor, "*n k"]:
        """Logits of unit vectors."""
        return self.temperature * self.cosines(vectors)

    def cosines(self, vectors: Float[Tensor, "*n d"]) -> Float[Tensor, "*n k"]:
        """Cosine of unit vectors with the nearest example of each class; 1 less it is their distance from the class."""
        return largest_of_classes(vectors @ self.keys.to(vectors).mT, self.owners, len(self.vocabulary))


@dataclass(frozen=True)
class NearestExample:
    """The class of the example that is most alike.

    Attributes:
        temperature: factor of the cosines, above 0; the reference code has 1; None to choose it.
    """

    temperature: float | None = None

    def __post_init__(self) -> None:
        if self.temperature is not None and not 0 < self.temperature < math.inf:
            raise UsageError(f"nearest: temperature is a factor above 0; got {self.temperature}")

    @property
    def name(self) -> str:
        """Its kind and settings."""
        return f"nearest(temperature={'out-of-fold' if self.temperature is None else f'{self.temperature:g}'})"

    def fit(
        self, texts: TextEmbeddings, examples: Examples | None = None, temperature: float = 100.0
    ) -> NearestClassifier:
        """A classifier of the classes of the texts.

        Args:
            texts: the vocabulary; its vectors are not looked at.
            examples: at least one of each class.
            temperature: factor of the cosines where no example can be held out to choose it by.

        Raises:
            UsageError: where there are no examples, a class has none, or they cannot be used.
        """
        found = check_examples("nearest", texts, examples, every_class=True)
        classes, factor = len(texts.vocabulary), self.temperature
        if factor is None:
            numbers = fold_numbers(found.labels, found.groups)
            held, factor = numbers >= 0, temperature
            if held.any():
                cosines = (found.vectors[held] @ found.vectors.mT).where(other_folds(numbers), -1.0)
                logits = largest_of_classes(cosines, found.labels, classes)
                factor = fitted_weights([logits], found.labels[held], [temperature])[0][0]
        return NearestClassifier(found.vectors, found.labels, factor, texts.vocabulary, found.model_id, found.space)


def largest_of_classes(values: Float[Tensor, "*n m"], owners: Int[Tensor, " m"], classes: int) -> Float[Tensor, "*n k"]:
    """The largest of the values of each class; −1, the least cosine, where it has none."""
    lowest = values.new_full((*values.shape[:-1], classes), -1.0)
    return lowest.scatter_reduce(-1, owners.to(values.device).expand_as(values), values, "amax")
