"""CapS-Adapter: a cache whose keys are examples mixed with the captions of the examples.

Source: Wang et al., CapS-Adapter: Caption-based MultiModal Adapter in Zero-Shot Classification, ACM Multimedia 2024,
https://arxiv.org/abs/2405.16591; reference code WLuLi/CapS-Adapter at commit bb2182a. See
:mod:`densevl.classifiers.cache` for the terms; the affinities are, with pictures I and captions C of the examples::

    A(x) = (1 − δ) x · I + δ x · C

Where we differ: α, β, γ and δ are chosen out of fold instead of searched on validation images (2.2 million settings).
The code takes the softmax of the divergences over the numbers of a vector, where it had computed the classes before;
ours is over the classes. It also fills the divergences in batches of ten images and leaves the rest of the last one at
0. With ``published=True`` the softmax and the ranges are those of the code, whole batches at least.
"""

from dataclasses import dataclass

from densevl.classifiers.cache import (
    KL_TEMPERATURE,
    CacheClassifier,
    Divergences,
    class_logs,
    fitted_cache,
    spread_of_examples,
)
from densevl.classifiers.contracts import Examples, check_examples
from densevl.classifiers.folds import one_a_thing
from densevl.classifiers.tip_adapter import ALPHA, BETA, checked_weight
from densevl.classifiers.tip_x import GAMMA
from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings

__all__ = ["CapSAdapter"]

DELTAS = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of the captions that are tried."""


@dataclass(frozen=True)
class CapSAdapter:
    """Examples mixed with their captions as keys, beside the texts.

    Attributes:
        alpha: weight of the keys; None to choose it, together with the other weights.
        beta: sharpness of the keys; None to choose it.
        gamma: weight of the divergences; None to choose it.
        delta: share of the captions in the keys, from 0 to 1; None to choose it. Give all four or none.
        published: take the softmax over the numbers of a vector, and the ranges of the vectors that are classified
            together, as in the reference code; wants the four numbers.
    """

    alpha: float | None = None
    beta: float | None = None
    gamma: float | None = None
    delta: float | None = None
    published: bool = False

    def __post_init__(self) -> None:
        checked_weight("caps-adapter", alpha=self.alpha, beta=self.beta, gamma=self.gamma, delta=self.delta)
        if self.delta is not None and self.delta > 1:
            raise UsageError(f"caps-adapter: delta is a share from 0 to 1; got {self.delta}")
        if self.published and self.alpha is None:
            raise UsageError(
                "caps-adapter: what the paper searched on validation images is to be given: alpha, beta, gamma, delta"
            )

    @property
    def name(self) -> str:
        """Its kind and settings."""
        given = f"{self.alpha}, beta={self.beta}, gamma={self.gamma}, delta={self.delta}"
        return f"caps-adapter(alpha={'out-of-fold' if self.alpha is None else given}, published={self.published})"

    def fit(
        self, texts: TextEmbeddings, examples: Examples | None = None, temperature: float = 100.0
    ) -> CacheClassifier:
        """A classifier of the vocabulary of the texts.

        Args:
            texts: the vocabulary, embedded.
            examples: of some of the classes, with captions; the views of one thing are one key.
            temperature: factor of the cosines of the texts.

        Raises:
            UsageError: where there are no examples or no captions, or they cannot be used.
        """
        found = one_a_thing(check_examples("caps-adapter", texts, examples, every_class=False))
        if found.captions is None:
            raise UsageError("the classifier `caps-adapter` wants a caption of each example; give them, or take tip-x")
        deltas = DELTAS if self.delta is None else (self.delta,)
        mixed = [found.vectors.lerp(found.captions, delta) for delta in deltas]
        logs = (found.vectors / KL_TEMPERATURE).log_softmax(1) if self.published else class_logs(texts, found.vectors)
        alpha, beta = (ALPHA, BETA) if self.alpha is None or self.beta is None else (self.alpha, self.beta)
        gamma = GAMMA if self.gamma is None else self.gamma
        caches = []
        for keys in mixed:
            spread = None if self.published else spread_of_examples(logs, found.vectors, keys)
            third = Divergences(logs, gamma, self.published, spread)
            caches.append(
                CacheClassifier(texts, temperature, keys, found.labels, alpha, beta, third, found.weights, found.space)
            )
        return fitted_cache(caches, found) if self.alpha is None else caches[0]
