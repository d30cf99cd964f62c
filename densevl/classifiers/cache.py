"""A cache of examples beside the texts: what Tip-Adapter, TIP-X and CapS-Adapter have in common.

With unit vectors x of what is classified and t_k of the classes, the keys c_j of n examples and L their classes,
one-hot::

    A_j(x) = x · c_j
    logits = temperature · x · t_k  +  α Σ_j exp(−β (1 − A_j)) L_jk  −  γ Σ_j scale(KL(p(x) ‖ p(c_j))) L_jk

``p`` is a softmax of cosines over the classes (TIP-X), or of the numbers of the vector itself (what CapS-Adapter's code
does), both at temperature 0.5; ``scale`` maps divergences linearly to the range of the affinities A. The published
codes take both ranges from all images of the test set together, so that the answer for an image depends on the others.
A cache of ours takes them from its own examples, each compared with the others, and answers one vector as it answers a
thousand.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from densevl.classifiers.contracts import Examples
from densevl.classifiers.folds import fitted_weights, fold_numbers, other_folds
from densevl.classifiers.text import TextClassifier
from densevl.core.features import TextEmbeddings
from densevl.core.vocabulary import Vocabulary

__all__ = ["BETAS", "CacheClassifier", "Divergences", "affinities", "divergences", "fitted_cache", "rescaled"]

BETAS = (1.0, 2.0, 3.5, 5.5, 8.0, 12.0, 20.0, 35.0, 50.0)
"""Sharpnesses that are tried out of fold, over the range of the published searches."""

KL_TEMPERATURE = 0.5
"""Of the softmax whose divergences are taken."""

LOWEST = -1e4
"""Logarithm of a probability of 0."""

Range = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Divergences:
    """The third term: how unlike the class probabilities of a vector and of each key are.

    Attributes:
        logs: logarithm of the distribution of each key.
        gamma: weight of the term.
        channels: the distributions are over the numbers of a vector, not over classes.
        spread: lowest and highest divergence, and lowest and highest affinity; None takes them from all vectors that
            are classified together, as the published codes do.
    """

    logs: Float[Tensor, "n m"]
    gamma: float
    channels: bool = False
    spread: tuple[Range, Range] | None = None


@dataclass(frozen=True, eq=False)
class CacheClassifier:
    """Texts, and examples as keys.

    Attributes:
        texts: the vocabulary, embedded.
        temperature: factor of the cosines of texts.
        keys: of the examples; not necessarily unit vectors.
        owners: class of each key.
        votes: weight of each key; None for 1.
        alpha: weight of the keys.
        beta: sharpness of the keys.
        divergences: the third term; None for none.
        space: which vectors of the model it takes; see :class:`densevl.classifiers.contracts.Classifier`.
    """

    texts: TextEmbeddings
    temperature: float
    keys: Float[Tensor, "n d"]
    owners: Int[Tensor, " n"]
    alpha: float
    beta: float
    divergences: Divergences | None = None
    votes: Float[Tensor, " n"] | None = None
    space: str | None = None

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
        similar = vectors @ self.keys.to(vectors).mT
        logits = TextClassifier(self.texts, self.temperature)(vectors)
        logits = logits + self.alpha * self._of_classes(affinities(similar, self.beta))
        if self.divergences is None or self.divergences.gamma == 0:
            return logits
        return logits - self.divergences.gamma * self._of_classes(self.unlikeness(vectors, similar))

    def unlikeness(self, vectors: Float[Tensor, "*n d"], similar: Float[Tensor, "*n m"]) -> Float[Tensor, "*n m"]:
        """Divergences of unit vectors from the keys, in the range of the affinities."""
        assert self.divergences is not None
        found = divergences(self.log_distribution(vectors), self.divergences.logs.to(vectors))
        low_high = self.divergences.spread or (_range(found), _range(similar))
        return rescaled(found, *low_high)

    def log_distribution(self, vectors: Float[Tensor, "*n d"]) -> Float[Tensor, "*n _"]:
        """Logarithm of the distribution whose divergences are taken."""
        assert self.divergences is not None
        if self.divergences.channels:
            return (vectors / KL_TEMPERATURE).log_softmax(-1)
        return class_logs(self.texts, vectors)

    def _of_classes(self, values: Float[Tensor, "*n m"]) -> Float[Tensor, "*n k"]:
        """The sum over the keys of each class."""
        values = values if self.votes is None else values * self.votes.to(values)
        sums = values.new_zeros(*values.shape[:-1], len(self.vocabulary))
        return sums.index_add(-1, self.owners.to(values.device), values)


def class_logs(texts: TextEmbeddings, vectors: Float[Tensor, "*n d"]) -> Float[Tensor, "*n k"]:
    """Logarithm of the class probabilities of unit vectors at the temperature of the divergences.

    A class without a query, whose probability is 0, has a finite logarithm far below the others.
    """
    return TextClassifier(texts, 1 / KL_TEMPERATURE)(vectors).log_softmax(-1).clamp(min=LOWEST)


def affinities(similar: Float[Tensor, "*n m"], beta: float) -> Float[Tensor, "*n m"]:
    """Affinity of cosines with keys: 1 where they are 1, and falling off from there."""
    return (beta * (similar - 1)).exp()


def divergences(logs: Float[Tensor, "*n c"], keys: Float[Tensor, "m c"]) -> Float[Tensor, "*n m"]:
    """KL divergence of distributions from those of keys, both as logarithms."""
    some = logs.exp()
    return (some * logs).sum(-1, keepdim=True) - some @ keys.mT


def rescaled(values: Float[Tensor, "*n"], old: Range, new: Range) -> Float[Tensor, "*n"]:
    """Numbers of one range in another; all of them at its low end where the first range is a point."""
    width = old[1] - old[0]
    return (values - old[0]) * ((new[1] - new[0]) / width if width > 0 else 0.0) + new[0]


def fitted_cache(
    classifiers: Sequence[CacheClassifier], examples: Examples, betas: Sequence[float] = BETAS
) -> CacheClassifier:
    """The cache, its sharpness and its weights that say held-out examples best.

    Each example is classified by the keys of the other folds; see :mod:`densevl.classifiers.folds`. Where no class has
    two images, there is nothing to choose by, and the first cache is returned as it is.

    Args:
        classifiers: caches of these examples that differ in their keys; each begins with its own weights.
        examples: one a key, in the order of the keys.
        betas: sharpnesses to choose from.
    """
    numbers = fold_numbers(examples.labels, examples.groups)
    held = numbers >= 0
    if not held.any():
        return classifiers[0]
    others, labels, vectors = other_folds(numbers), examples.labels[held], examples.vectors[held]
    best, least = classifiers[0], torch.inf
    for cache in classifiers:
        similar = vectors @ cache.keys.mT
        parts = [TextClassifier(cache.texts, cache.temperature)(vectors)]
        if cache.divergences is not None:
            parts.append(-cache._of_classes(cache.unlikeness(vectors, similar) * others))
        for beta in betas:
            near = cache._of_classes(affinities(similar, beta) * others)
            start = [1.0, cache.alpha] if cache.divergences is None else [1.0, cache.divergences.gamma, cache.alpha]
            weights, loss = fitted_weights([*parts, near], labels, start)
            if loss < least:
                least = loss
                third = None if cache.divergences is None else replace(cache.divergences, gamma=weights[1])
                temperature = cache.temperature * weights[0]
                best = replace(cache, temperature=temperature, alpha=weights[-1], beta=beta, divergences=third)
    return best


def _range(values: Float[Tensor, "*n"]) -> Range:
    return float(values.min()), float(values.max())


def spread_of_examples(
    logs: Float[Tensor, "n c"], vectors: Float[Tensor, "n d"], keys: Float[Tensor, "n d"]
) -> tuple[Range, Range]:
    """Ranges of the divergences and of the affinities of examples from each other, none from itself."""
    others = ~torch.eye(len(keys), dtype=torch.bool, device=keys.device)
    if not others.any():
        return (0.0, 0.0), (0.0, 0.0)
    return _range(divergences(logs, logs)[others]), _range((vectors @ keys.mT)[others])
