"""COOkeD: the mean of three softmaxes, of texts, of a probe and of another classifier; for knowing what is unknown.

Source: Humblot-Renaux et al., COOkeD: Ensemble-based OOD Detection in the Era of Zero-shot CLIP, ICCV Workshops 2025;
reference code glhr/COOkeD at commit 217223b. With the probabilities of each of three classifiers of one vocabulary::

    p = (p_text + p_probe + p_classifier) / 3
    unlike anything known: the entropy of p (their default), or 1 − max p

Texts are compared with unit vectors, and the other two take the vectors as they come: the paper's probe reads features
that are not normalised. densevl's vectors are unit vectors anyway.

Where we differ: the third classifier, any one of a closed world in the paper, is the Gaussian analysis of
:mod:`densevl.classifiers.gda`; and each of the three is brought to the temperature that says held-out examples
best before the mean is taken, unless ``published=True``.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from densevl.classifiers.contracts import Classifier, Examples, LinearClassifier, SumClassifier, check_examples
from densevl.classifiers.folds import fitted_weights, fold_numbers, out_of_fold
from densevl.classifiers.gaussian import gaussian_weights
from densevl.classifiers.linear_probe import best_strength, probe
from densevl.classifiers.text import TextClassifier
from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.core.vocabulary import Vocabulary

__all__ = ["COOkeD", "CookedClassifier", "entropy"]


@dataclass(frozen=True, eq=False)
class CookedClassifier:
    """Logits: the logarithm of the mean of three probabilities.

    Attributes:
        texts: takes unit vectors.
        probe: takes vectors as they are.
        other: takes vectors as they are.
    """

    texts: Classifier
    probe: Classifier
    other: Classifier

    @property
    def vocabulary(self) -> Vocabulary:
        """The classes."""
        return self.texts.vocabulary

    @property
    def model_id(self) -> str:
        """Identity of the encoder and its weights."""
        return self.texts.model_id

    @property
    def space(self) -> str | None:
        """Which vectors of the model it takes."""
        return self.probe.space

    def __call__(self, vectors: Float[Tensor, "*n d"]) -> Float[Tensor, "*n k"]:
        """Logits of vectors."""
        logits = (self.texts(F.normalize(vectors, dim=-1)), self.probe(vectors), self.other(vectors))
        return torch.stack([one.softmax(-1) for one in logits]).mean(0).log()


@dataclass(frozen=True)
class COOkeD:
    """The mean of the probabilities of texts, of a probe and of Gaussian classes.

    Attributes:
        published: take the logits of the three as they are, the texts' with the temperature of the model.
    """

    published: bool = False

    @property
    def name(self) -> str:
        """Its kind and settings."""
        return f"cooked(published={self.published})"

    def fit(
        self, texts: TextEmbeddings, examples: Examples | None = None, temperature: float = 100.0
    ) -> CookedClassifier:
        """A classifier of the vocabulary of the texts.

        Args:
            texts: the vocabulary, embedded.
            examples: at least one of each class, and in all more than there are classes.
            temperature: factor of the cosines of the texts.

        Raises:
            UsageError: where there are no examples, a class has none, or they cannot be used.
        """
        found = check_examples("cooked", texts, examples, every_class=True)
        if len(found.labels) <= len(texts.vocabulary):
            raise UsageError(
                f"the classifier `cooked` wants more examples than classes, {len(texts.vocabulary)}; "
                f"got {len(found.labels)}"
            )
        strength = best_strength(texts.vocabulary, found)
        numbers = fold_numbers(found.labels, found.groups)
        held = numbers >= 0

        def member(fit: Callable[[Examples], Classifier]) -> Classifier:
            if self.published or not held.any():
                return fit(found)
            (factor,), _ = fitted_weights([out_of_fold(found, numbers, fit)], found.labels[held], [1.0])
            return SumClassifier((fit(found),), (factor,))

        return CookedClassifier(
            member(lambda _: TextClassifier(texts, temperature)),
            member(lambda some: probe(texts.vocabulary, some, strength)),
            member(lambda some: _gaussian(texts.vocabulary, some)),
        )


def entropy(logits: Float[Tensor, "*n k"]) -> Float[Tensor, "*n"]:
    """Entropy of the probabilities of logits, in nats: the larger, the less they are like anything known."""
    return torch.special.entr(logits.softmax(-1)).sum(-1)


def _gaussian(vocabulary: Vocabulary, examples: Examples) -> LinearClassifier:
    weight, bias = gaussian_weights(examples.vectors, examples.labels, len(vocabulary))
    return LinearClassifier(weight, bias, vocabulary, examples.model_id, examples.space)
