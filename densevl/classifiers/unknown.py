"""Telling what is none of the classes: how far a vector lies from everything that was shown, and a class for it.

Source: Lee et al., A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial Attacks,
NeurIPS 2018, https://arxiv.org/abs/1807.03888. With the means μ_k of the classes and one covariance Σ of d numbers::

    doubt(x) = min over k of (x − μ_k)ᵀ Σ⁻¹ (x − μ_k) / d

Where we differ: Σ is estimated from a few examples, with the shrinkage of :mod:`densevl.classifiers.sums`, so that the
doubt of known things depends on how many there were. A limit comes from held-out examples, see
:meth:`densevl.classifiers.evidence.Evidence.limit`, and not from unknown ones, which nobody has.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from densevl.classifiers.contracts import Classifier
from densevl.classifiers.sums import Sums, precision_of
from densevl.core.errors import UsageError
from densevl.core.vocabulary import Vocabulary

__all__ = ["UNKNOWN", "Known", "OpenClassifier", "with_unknown"]

UNKNOWN = "unknown"
"""The name of the class of what is none of the classes."""

STEEPNESS = 10.0
"""Slope of the logit of the unknown by the doubt in units of its limit. The limit decides where the unknown begins, and
this only how soft the edge is."""


@dataclass(frozen=True, eq=False)
class Known:
    """Where the vectors of the classes lie.

    Attributes:
        means: of the classes that have examples.
        precision: inverse covariance of vectors about the mean of their class.
    """

    means: Float64[Tensor, "k d"]
    precision: Float64[Tensor, "d d"]

    @classmethod
    def of(cls, sums: Sums, count: int | float | None = None) -> "Known":
        """From the sums of examples, of one class at least.

        Args:
            sums: of the examples.
            count: number of examples that the covariance is shrunk for, so that doubts by a part of the examples can
                be compared with those by all; None for their own.
        """
        own, seen = max(float(sums.counts.sum()) - 1, 1.0), sums.counts > 0
        whole = own if count is None else max(float(count) - 1, 1.0)
        scatter = sums.scatter(sums.means) * (whole / own)
        return cls(sums.means[seen], precision_of(scatter, whole + 1) * (whole / sums.dim))

    def doubts(self, vectors: Float[Tensor, "*n d"]) -> Float[Tensor, "*n"]:
        """How far vectors lie from everything that was shown; 0 or more."""
        means, precision = self.means.to(vectors), self.precision.to(vectors)
        projected = means @ precision
        own = ((vectors @ precision) * vectors).sum(-1, keepdim=True)
        squared = own - 2 * vectors @ projected.mT + (projected * means).sum(-1)
        return squared.amin(-1).clamp(min=0) / means.shape[-1]


@dataclass(frozen=True, eq=False)
class OpenClassifier:
    """A classifier with one more class, the last one, for vectors whose doubt is above a limit.

    Attributes:
        classifier: of the other classes.
        known: where these lie.
        limit: doubt above which the answer is *unknown*.
        vocabulary: the classes of the classifier, and the unknown.
    """

    classifier: Classifier
    known: Known
    limit: float
    vocabulary: Vocabulary

    @property
    def model_id(self) -> str:
        """Identity of the encoder and its weights."""
        return self.classifier.model_id

    @property
    def space(self) -> str | None:
        """Which vectors of the model it takes."""
        return self.classifier.space

    def __call__(self, vectors: Float[Tensor, "*n d"]) -> Float[Tensor, "*n k"]:
        """Logits; that of the unknown is the largest exactly where the doubt is above the limit."""
        logits = self.classifier(vectors)
        excess = STEEPNESS * (self.known.doubts(vectors) / self.limit - 1)
        return torch.cat([logits, (logits.amax(-1) + excess)[..., None]], dim=-1)


def with_unknown(vocabulary: Vocabulary) -> Vocabulary:
    """The classes and, after them, the unknown, in grey.

    Raises:
        UsageError: where a class is called so.
    """
    if any(word.casefold() == UNKNOWN for word in vocabulary.queries):
        raise UsageError(f"a class is called {UNKNOWN!r} already; leave --unknown out, or teach it under another name")
    palette = (*vocabulary.palette, (128, 128, 128))
    classes = (*vocabulary.classes, (UNKNOWN,))
    return Vocabulary(vocabulary.name, classes, vocabulary.background, palette, vocabulary.source)
