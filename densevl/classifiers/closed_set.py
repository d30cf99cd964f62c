"""Classes by their names, for a model that was trained to tell certain classes apart.

With p the softmax over all m classes of the model, a name has the probability of the classes that it covers together,
and the rest is "none of these"::

    P(k | u) = Σ over the classes c of k of p_c(u)        P(rest | u) = 1 − Σ_k P(k | u)

A class that two names cover, as "dog" and "animal" do, counts for the one that covers fewer; equally narrow ones share
it. So the probabilities of all names and of the rest sum to 1.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from densevl.classifiers.contracts import Examples
from densevl.core.errors import UsageError
from densevl.core.features import ClosedSet, TextEmbeddings
from densevl.core.vocabulary import Vocabulary

__all__ = ["ClosedSetClassifier", "ClosedSetMatching"]

COUNTS = ("sum", "largest")
"""Ways to make the probability of a name of those of its classes."""

AT_ONCE = 1 << 14
"""Vectors whose probabilities of all classes are held together: 64 MB for a thousand classes."""


@dataclass(frozen=True, eq=False)
class ClosedSetClassifier:
    """Logarithms of the probabilities of names; see above.

    A name that covers no class has the logit −∞, and so has a background class found by threshold.

    Attributes:
        texts: the queries, with the classes that they cover.
        count: how the classes of a name count, one of :data:`COUNTS`.
        others: factor o, above 0, of the probability of everything else.

    Raises:
        UsageError: where the texts do not say what they cover, or a setting is out of range.
    """

    texts: TextEmbeddings
    count: str = "sum"
    others: int | float = 1.0

    space = None

    def __post_init__(self) -> None:
        _check(self.count, self.others)
        if self.texts.closed_set is None:
            raise UsageError(
                f"the classifier `closed-set` wants an encoder that was trained to tell certain classes apart, such as "
                f"photo; {self.texts.model_id!r} was not; take `text`"
            )

    @property
    def vocabulary(self) -> Vocabulary:
        """The names."""
        return self.texts.vocabulary

    @property
    def model_id(self) -> str:
        """Identity of the encoder and its weights."""
        return self.texts.model_id

    @property
    def known(self) -> ClosedSet:
        """The classes of the model, and what the queries cover."""
        assert self.texts.closed_set is not None
        return self.texts.closed_set

    @property
    def shares(self) -> Float32[Tensor, "k m"]:
        """The part of each class of the model that counts for each name."""
        covers = self.known.covers
        names = covers.new_zeros(len(self.vocabulary), covers.shape[1])
        for query, owner in zip(covers, self.texts.query_classes.tolist(), strict=True):
            names[owner] |= query
        width = names.sum(1, keepdim=True).float().expand(names.shape).masked_fill(~names, torch.inf)
        narrowest = names & (width == width.amin(0, keepdim=True))
        return narrowest.float() / narrowest.sum(0, keepdim=True).clamp(min=1)

    def __call__(self, vectors: Float[Tensor, "*n d"]) -> Float[Tensor, "*n k"]:
        """Logits of unit vectors: the logarithms of the probabilities, in float32 or better."""
        known, shares = self.known, self.shares.to(vectors.device)
        flat = vectors.reshape(-1, vectors.shape[-1])
        found = torch.cat([self._probabilities(some, known, shares) for some in flat.split(AT_ONCE)] or [flat])
        return found.log().unflatten(0, vectors.shape[:-1]) if vectors.ndim != 2 else found.log()

    def _probabilities(
        self, vectors: Float[Tensor, "n d"], known: ClosedSet, shares: Float[Tensor, "k m"]
    ) -> Float[Tensor, "n k"]:
        values = vectors.float()
        logits = values @ known.weight.to(values).mT / values[:, -1:]
        each = logits.softmax(dim=1)
        if self.count == "sum":
            result = each @ shares.mT
        else:
            result = each.new_zeros(len(each), len(shares))
            for place, share in enumerate(shares):
                owned = share.nonzero()[:, 0]
                if len(owned):
                    result[:, place] = (each[:, owned] * share[owned]).amax(1)
        if known.rest is not None:
            result[:, known.rest] = self.others * (each @ (1 - shares.sum(0).clamp(max=1)))
        if (self.count, self.others) == ("sum", 1):
            return result
        return result / result.sum(1, keepdim=True).clamp(min=torch.finfo(result.dtype).tiny)


def _check(count: str, others: int | float) -> None:
    """Refuse settings that are out of range.

    Raises:
        UsageError: where they are.
    """
    if count not in COUNTS or not others > 0:
        raise UsageError(
            f"the classifier `closed-set` takes count={' or '.join(COUNTS)} and others above 0; got {count!r}, {others}"
        )


@dataclass(frozen=True)
class ClosedSetMatching:
    """The method behind :class:`ClosedSetClassifier`: it looks at no example.

    Attributes:
        count: how the classes of a name count, one of :data:`COUNTS`.
        others: factor o, above 0, of the probability of everything else.
    """

    count: str = "sum"
    others: int | float = 1.0

    def __post_init__(self) -> None:
        _check(self.count, self.others)

    @property
    def name(self) -> str:
        """Its kind, and its settings where they are not the usual ones."""
        plain = (self.count, self.others) == ("sum", 1)
        return "closed-set" if plain else f"closed-set(count={self.count}, others={self.others:g})"

    def fit(
        self, texts: TextEmbeddings, examples: Examples | None = None, temperature: float = 100.0
    ) -> ClosedSetClassifier:
        """A classifier of the texts alone; its probabilities are those that the model was trained for.

        Raises:
            UsageError: where there are examples, which it would not use, or the texts do not say what they cover.
        """
        if examples is not None:
            raise UsageError("the classifier `closed-set` uses no examples; take one that does, such as gda")
        return ClosedSetClassifier(texts, self.count, self.others)
