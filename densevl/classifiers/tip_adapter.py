"""Tip-Adapter: examples as the keys of a cache, beside the texts; and Tip-Adapter-F, which then trains the keys.

Source: Zhang et al., Tip-Adapter: Training-free Adaption of CLIP for Few-shot Classification, ECCV 2022,
https://arxiv.org/abs/2207.09519; reference code gaopengcuhk/Tip-Adapter at commit d0e2d6f. With unit vectors x, texts
t_k, keys c_j and the classes L of the keys, one-hot::

    c_j = unit(mean of the views of example j)
    logits = temperature · x · t_k + α Σ_j exp(−β (1 − x · c_j)) L_jk

F takes the keys as weights that AdamW trains with the cross-entropy of the examples.

Where we differ: the code searches α and β on validation images, and F keeps the epoch that is best on the test set.
Here β and the weights of both terms are chosen out of fold within the examples, unless they are given, and the last
epoch counts. A class without examples, whose column the code drops where it is the last one, is told by its texts
alone.
"""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

from densevl.classifiers.cache import CacheClassifier, fitted_cache
from densevl.classifiers.contracts import Examples, check_examples
from densevl.classifiers.folds import one_a_thing
from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings

__all__ = ["TipAdapter", "checked_weight", "trained_keys"]

ALPHA, BETA = 1.0, 5.5
"""The published start of the search, which stands where there is nothing to choose by."""

BATCH, RATE = 256, 0.001


@dataclass(frozen=True)
class TipAdapter:
    """Examples as keys beside the texts.

    Attributes:
        alpha: weight of the keys; None to choose it, together with the weight of the texts.
        beta: sharpness of the keys; None to choose it. Give both or none.
        epochs: rounds in which the keys are trained; 0 for none, the paper's F takes 20.
    """

    alpha: float | None = None
    beta: float | None = None
    epochs: int = 0

    def __post_init__(self) -> None:
        checked_weight("tip-adapter", alpha=self.alpha, beta=self.beta)
        if self.epochs < 0:
            raise UsageError(f"epochs are rounds of training, 0 or more; got {self.epochs}")

    @property
    def name(self) -> str:
        """Its kind and settings."""
        chosen = "out-of-fold" if self.alpha is None else f"{self.alpha:g}, beta={self.beta:g}"
        return f"tip-adapter(alpha={chosen}, epochs={self.epochs})"

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
        found = one_a_thing(check_examples("tip-adapter", texts, examples, every_class=False))
        alpha, beta = (ALPHA, BETA) if self.alpha is None or self.beta is None else (self.alpha, self.beta)
        cache = CacheClassifier(
            texts, temperature, found.vectors, found.labels, alpha, beta, None, found.weights, found.space
        )
        cache = fitted_cache([cache], found) if self.alpha is None else cache
        return trained_keys(cache, found, self.epochs) if self.epochs else cache


def checked_weight(method: str, **weights: float | None) -> None:
    """Refuse weights of which some are given and some are to be chosen, or that are below 0.

    Args:
        method: its registered name, for errors.
        weights: by the names of their settings; None to choose one.

    Raises:
        UsageError: where they cannot be used.
    """
    if len({value is None for value in weights.values()}) > 1:
        raise UsageError(f"{method}: give all of {', '.join(weights)}, or none of them to have them chosen")
    for name, value in weights.items():
        if value is not None and not 0 <= value < float("inf"):
            raise UsageError(f"{method}: {name} is 0 or more; got {value}")


@torch.inference_mode(False)
@torch.enable_grad()
def trained_keys(cache: CacheClassifier, examples: Examples, epochs: int, seed: int = 0) -> CacheClassifier:
    """The cache with keys that were trained to say the classes of the examples.

    Args:
        cache: what to begin with.
        examples: what it learns from.
        epochs: rounds through the examples, in batches of 256; the rate of learning falls as a cosine from 0.001.
        seed: of the order of the examples.
    """
    vectors, labels, texts = examples.vectors.clone(), examples.labels.clone(), cache.texts
    texts = replace(texts, vectors=texts.vectors.clone(), query_classes=texts.query_classes.clone())
    keys = cache.keys.clone().requires_grad_()
    learning = replace(cache, texts=texts, keys=keys, owners=cache.owners.clone())
    draw = torch.Generator().manual_seed(seed)
    steps = epochs * -(-len(vectors) // BATCH)
    optimizer = torch.optim.AdamW([keys], lr=RATE, eps=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(epochs):
        for batch in torch.randperm(len(vectors), generator=draw).split(BATCH):
            some = batch.to(vectors.device)
            loss = F.cross_entropy(learning(vectors[some]), labels[some])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return replace(cache, keys=keys.detach())
