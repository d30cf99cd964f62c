"""TIP-X: a cache of examples, and how alike the class probabilities of a vector and of each example are.

Source: Udandarao et al., SuS-X: Training-Free Name-Only Transfer of Vision-Language Models, ICCV 2023,
https://arxiv.org/abs/2211.16198; reference code vishaal27/SuS-X at commit d7d4d37. See :mod:`densevl.classifiers.cache`
for the terms; the divergences are of the probabilities of the classes. SuS-X itself says where examples come from where
there are none: pictures that a generator draws, or that are found in a large collection, for each name. Such pictures
are examples like others.

Where we differ: α, β and γ are chosen out of fold instead of searched on validation images (20 · 200 · 50 settings),
and the ranges of divergences and affinities are those of the examples, not of all test images together. With
``published=True`` these ranges are those of the vectors that are classified together, as in the code.
"""

from dataclasses import dataclass

from densevl.classifiers.cache import CacheClassifier, Divergences, class_logs, fitted_cache, spread_of_examples
from densevl.classifiers.contracts import Examples, check_examples
from densevl.classifiers.folds import one_a_thing
from densevl.classifiers.tip_adapter import ALPHA, BETA, checked_weight
from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings

__all__ = ["GAMMA", "TIPX"]

GAMMA = 0.1
"""Weight of the divergences where there is nothing to choose by: the least of the published search."""


@dataclass(frozen=True)
class TIPX:
    """Examples as keys, by their cosines and by their class probabilities, beside the texts.

    Attributes:
        alpha: weight of the keys; None to choose it, together with the other weights. beta: sharpness of the keys; None
        to choose it. gamma: weight of the divergences; None to choose it. Give all three or none. published: take the
        ranges of the vectors that are classified together, so that the answer for one depends on the
            others, as in the reference code; wants the three weights.
    """

    alpha: float | None = None
    beta: float | None = None
    gamma: float | None = None
    published: bool = False

    def __post_init__(self) -> None:
        checked_weight("tip-x", alpha=self.alpha, beta=self.beta, gamma=self.gamma)
        if self.published and self.alpha is None:
            raise UsageError("tip-x: what the paper searched on validation images is to be given: alpha, beta, gamma")

    @property
    def name(self) -> str:
        """Its kind and settings."""
        chosen = (
            f"{self.alpha:g}, beta={self.beta:g}, gamma={self.gamma:g}" if self.alpha is not None else "out-of-fold"
        )
        return f"tip-x(alpha={chosen}, published={self.published})"

    def fit(
        self, texts: TextEmbeddings, examples: Examples | None = None, temperature: float = 100.0
    ) -> CacheClassifier:
        """A classifier of the vocabulary of the texts.

        Args:
            texts: the vocabulary, embedded.
            examples: of some of the classes; the views of one thing are one key.
            temperature: factor of the cosines of the texts.

        Raises:
            UsageError: where there are no examples, or they cannot be used.
        """
        found = one_a_thing(check_examples("tip-x", texts, examples, every_class=False))
        keys = found.vectors
        logs = class_logs(texts, keys)
        spread = None if self.published else spread_of_examples(logs, keys, keys)
        third = Divergences(logs, GAMMA if self.gamma is None else self.gamma, spread=spread)
        alpha, beta = (ALPHA, BETA) if self.alpha is None or self.beta is None else (self.alpha, self.beta)
        cache = CacheClassifier(texts, temperature, keys, found.labels, alpha, beta, third, found.weights, found.space)
        return fitted_cache([cache], found) if self.alpha is None else cache
