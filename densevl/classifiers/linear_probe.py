"""A linear probe: logistic regression of the examples, which the texts have no part in.

Source: Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML 2021,
https://arxiv.org/abs/2103.00020, section 3.2: L-BFGS on frozen features, with the L2 penalty of scikit-learn. Where we
differ: the vectors are unit vectors, and the strength C, which the paper searches on a validation split, is chosen out
of fold within the examples.
"""

import math
import warnings
from dataclasses import dataclass
from typing import Any

import torch

from densevl.classifiers.contracts import Examples, LinearClassifier, check_examples
from densevl.classifiers.folds import fold_numbers, likelihood_loss, out_of_fold
from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.core.vocabulary import Vocabulary

__all__ = ["LinearProbe", "best_strength", "probe"]

STRENGTHS = (1.0, 10.0, 100.0, 1000.0)
"""Inverse penalties that are tried, for unit vectors."""

STEPS = 300


@dataclass(frozen=True)
class LinearProbe:
    """Logistic regression of the examples.

    Attributes:
        strength: scikit-learn's C, the inverse of the penalty, above 0; None to choose it.
    """

    strength: float | None = None

    def __post_init__(self) -> None:
        if self.strength is not None and not 0 < self.strength < math.inf:
            raise UsageError(f"linear-probe: strength is the inverse of a penalty, above 0; got {self.strength}")

    @property
    def name(self) -> str:
        """Its kind and settings."""
        return f"linear-probe(strength={'out-of-fold' if self.strength is None else f'{self.strength:g}'})"

    def fit(
        self, texts: TextEmbeddings, examples: Examples | None = None, temperature: float = 100.0
    ) -> LinearClassifier:
        """A classifier of the classes of the texts.

        Args:
            texts: the vocabulary; its vectors are not looked at.
            examples: at least one of each class.
            temperature: not used, since there is no cosine of a text.

        Raises:
            UsageError: where there are no examples, a class has none, or they cannot be used.
        """
        found = check_examples("linear-probe", texts, examples, every_class=True)
        strength = best_strength(texts.vocabulary, found) if self.strength is None else self.strength
        return probe(texts.vocabulary, found, strength)


def probe(vocabulary: Vocabulary, examples: Examples, strength: float) -> LinearClassifier:
    """The logistic regression of one strength.

    Args:
        vocabulary: the classes, each of which has an example.
        examples: finite vectors of any length.
        strength: scikit-learn's C.
    """
    from sklearn.linear_model import LogisticRegression

    vectors, labels, classes = examples.vectors, examples.labels, len(vocabulary)
    weight, bias = vectors.new_zeros(classes, vectors.shape[1]), vectors.new_zeros(classes)
    if classes > 1:
        weights = None if examples.weights is None else examples.weights.cpu().numpy()
        fitted: Any = LogisticRegression(C=strength, max_iter=STEPS)
        with warnings.catch_warnings():  # of one example a class it says that these may be no classes
            warnings.simplefilter("ignore", UserWarning)
            fitted.fit(vectors.double().cpu().numpy(), labels.cpu().numpy(), weights)
        rows = slice(1 if classes == 2 else 0, None)  # of two classes scikit-learn has the second less the first
        weight[rows], bias[rows] = (torch.from_numpy(value).to(vectors) for value in (fitted.coef_, fitted.intercept_))
    return LinearClassifier(weight, bias, vocabulary, examples.model_id, examples.space)


def best_strength(vocabulary: Vocabulary, examples: Examples) -> float:
    """The strength that says held-out examples best; the middle one where none can be held out."""
    numbers = fold_numbers(examples.labels, examples.groups)
    labels = examples.labels[numbers >= 0]
    if not len(labels):
        return STRENGTHS[1]

    def loss(strength: float) -> float:
        return likelihood_loss(out_of_fold(examples, numbers, lambda some: probe(vocabulary, some, strength)), labels)

    return min(STRENGTHS, key=loss)
