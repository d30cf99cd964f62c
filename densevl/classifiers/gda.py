"""Gaussian discriminant analysis: classes as Gaussians of one covariance, with the texts beside them.

Source: Wang et al., A Hard-to-Beat Baseline for Training-free CLIP-based Adaptation, ICLR 2024,
https://arxiv.org/abs/2402.04087; reference code mrflogs/ICLR24 at commit 560fe21. With the mean μ_k of each of K
classes, the centred vectors C of N examples of d numbers, and Σ = cov(C)::

    P = d · pinv((N − 1) Σ + tr(Σ) I)                       Kubokawa and Srivastava's estimate of Σ⁻¹
    W_k = P μ_k      b_k = −log K − ½ μ_kᵀ P μ_k
    logits = temperature · x · t_k + α (x · W_k + b_k)

Where we differ: synonyms of a class are reduced by their maximum, as everywhere here; a class without examples, or one
example a class, which leaves no covariance, is an error; α is an argument, not searched on test images. Without α both
terms get a weight by what they say of held-out examples, so that texts which say nothing can be dropped.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Shaped
from torch import Tensor

from densevl.classifiers.contracts import Examples, LinearClassifier, SumClassifier, check_examples
from densevl.classifiers.folds import fitted_weights, fold_numbers, out_of_fold
from densevl.classifiers.gaussian import gaussian_weights, weights_of
from densevl.classifiers.sums import Sums, precision_of
from densevl.classifiers.text import TextClassifier
from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings
from densevl.core.vocabulary import Vocabulary

__all__ = ["GDA"]


@dataclass(frozen=True)
class GDA:
    """Gaussian discriminant analysis of examples, added to the texts.

    Attributes:
        alpha: weight of the analysis beside the texts; from 0 (texts alone). None chooses both weights out of fold.
        shrink: shrink the covariance as the few-shot branch does; False takes the mean of the classes' covariances and
            its pseudo-inverse, as the branch from base to new classes does, which wants more examples than numbers.
        text: weight of the texts; chosen with alpha where that is None.
    """

    alpha: float | None = 1.0
    shrink: bool = True
    text: float = 1.0

    def __post_init__(self) -> None:
        if self.alpha is not None and not self.alpha >= 0:
            raise UsageError(f"alpha is the weight of the examples beside the texts, 0 or more; got {self.alpha}")

    @property
    def name(self) -> str:
        """Its kind and settings."""
        alpha = "out of fold" if self.alpha is None else f"{self.alpha:g}"
        text = "" if self.text == 1 else f", text={self.text:g}"
        return f"gda(alpha={alpha}, shrink={self.shrink}{text})"

    def fit(self, texts: TextEmbeddings, examples: Examples | None = None, temperature: float = 100.0) -> SumClassifier:
        """A classifier of the vocabulary of the texts.

        Args:
            texts: the vocabulary, embedded.
            examples: at least one of each class, and in all more than there are classes.
            temperature: factor of the cosines of the texts.

        Raises:
            UsageError: where there are no examples, a class has none, or they belong to another model.
        """
        examples = check_examples("gda", texts, examples, every_class=False)
        _check_enough(texts.vocabulary, torch.bincount(examples.labels, minlength=len(texts.vocabulary)))
        chosen = self.settled(texts, examples, temperature)
        return chosen._sum(texts, chosen._gaussian(examples, texts.vocabulary), temperature)

    @property
    def sums_up(self) -> bool:
        """True where sums of examples are enough; the mean of the classes' covariances needs the examples."""
        return self.shrink

    def settled(self, texts: TextEmbeddings, examples: Examples, temperature: float = 100.0) -> "GDA":
        """The method with two weights; 1 and 1 where no example can be held out.

        Args:
            texts: the vocabulary, embedded.
            examples: at least one of each class.
            temperature: factor of the cosines of the texts.
        """
        if self.alpha is not None:
            return self
        numbers = fold_numbers(examples.labels, examples.groups)
        held = numbers >= 0
        if not held.any():
            return replace(self, alpha=1.0)
        analysis = out_of_fold(examples, numbers, lambda others: self._gaussian(others, texts.vocabulary))
        parts = [TextClassifier(texts, temperature)(examples.vectors[held]), analysis]
        text, alpha = fitted_weights(parts, examples.labels[held], (1.0, 1.0))[0]
        return replace(self, alpha=alpha, text=text)

    def weights_of(self, examples: Examples) -> None:
        """None: the views of a thing are examples of their own, as in the paper."""

    def of_sums(
        self, texts: TextEmbeddings, sums: Sums, temperature: float = 100.0, space: str | None = None
    ) -> SumClassifier:
        """A classifier of the sums of examples.

        Args:
            texts: the vocabulary, embedded.
            sums: of vectors of its classes.
            temperature: factor of the cosines of the texts.
            space: which vectors they are.

        Raises:
            UsageError: where a class has no example, or there are no more examples than classes.
        """
        _check_enough(texts.vocabulary, sums.counts)
        weight, bias = weights_of(sums.means, precision_of(sums.scatter(sums.means), float(sums.counts.sum())))
        gaussian = LinearClassifier(weight.float(), bias.float(), texts.vocabulary, texts.model_id, space)
        return self._sum(texts, gaussian, temperature)

    def _sum(self, texts: TextEmbeddings, gaussian: LinearClassifier, temperature: float) -> SumClassifier:
        alpha = 1.0 if self.alpha is None else self.alpha
        return SumClassifier((TextClassifier(texts, temperature), gaussian), (self.text, alpha))

    def _gaussian(self, examples: Examples, vocabulary: Vocabulary) -> LinearClassifier:
        weight, bias = gaussian_weights(examples.vectors, examples.labels, len(vocabulary), self.shrink)
        return LinearClassifier(weight, bias, vocabulary, examples.model_id, examples.space)


def _check_enough(vocabulary: Vocabulary, counts: Shaped[Tensor, " k"]) -> None:
    """Refuse examples that leave no covariance, or no mean of a class."""
    missing = [vocabulary.names[place] for place in (counts == 0).nonzero().flatten().tolist()]
    if missing or counts.sum() <= len(vocabulary):
        lacking = f", none of {', '.join(missing)}" if missing else ""
        raise UsageError(
            f"gda wants an example of each of {len(vocabulary)} classes, and more examples than classes; got "
            f"{int(counts.sum())}{lacking}: give more, or take gda-prior"
        )
