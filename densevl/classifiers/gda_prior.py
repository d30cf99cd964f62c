"""Gaussian discriminant analysis with the texts as a prior: from the first example on, and without texts too.

Ours, on the analysis of :mod:`densevl.classifiers.gda` (Wang et al., ICLR 2024) and its estimate of the precision. A
text says where the mean of a class lies before an example is seen. Vectors of texts lie elsewhere than those of images,
and closer together (Liang et al., Mind the Gap, NeurIPS 2022), so they are moved first. With the texts t_k, the means
x̄_k of the n_k examples of each class, and the mean x̄ of these means::

    t'_k = x̄ + s (t_k − t̄)           s² = Σ |x̄_k − x̄|² / Σ |t_k − t̄|²        (means over the classes)
    μ_k = (n_k x̄_k + κ t'_k) / (n_k + κ)
    P = d · ((N − 1) Σ + λ tr(Σ) I)⁻¹   Σ = Σ (x − μ)(x − μ)ᵀ / (N − 1)   λ = min(1, d / N)
    logits = x · P μ_k − ½ μ_kᵀ P μ_k

The published estimate has λ = 1 and is made for fewer examples N than numbers d. With more of them the scatter says
more of the covariance than a sphere does, so λ falls; that was chosen on objects of training scenes that were not
examples. A class whose words the model does not know has κ = 0, and a class that has no example lies at t'_k.
"""

import math
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from densevl.classifiers.contracts import Examples, LinearClassifier, check_examples
from densevl.classifiers.folds import fitted_weights, fold_numbers, out_of_fold
from densevl.classifiers.sums import Sums, precision_of
from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings

__all__ = ["KAPPAS", "GDAPrior"]

DEFAULT, KAPPAS = 4.0, (0.0, 1.0, 4.0, 16.0)
"""Examples that a text counts as where nothing else is said, and the numbers that are tried out of fold."""


@dataclass(frozen=True)
class GDAPrior:
    """Gaussian discriminant analysis of examples, with the texts as a prior of the means.

    Attributes:
        kappa: examples that the text of a class counts as; 0 leaves the texts out. None takes that one of
            :data:`KAPPAS` which says held-out examples best.
    """

    kappa: float | None = DEFAULT

    def __post_init__(self) -> None:
        if self.kappa is not None and not 0 <= self.kappa < math.inf:
            raise UsageError(f"kappa says how many examples a text counts as, 0 or more; got {self.kappa}")

    @property
    def name(self) -> str:
        """Its kind and settings."""
        return f"gda-prior(kappa={'out of fold' if self.kappa is None else f'{self.kappa:g}'})"

    def fit(
        self, texts: TextEmbeddings, examples: Examples | None = None, temperature: float = 100.0
    ) -> LinearClassifier:
        """A classifier of the vocabulary of the texts; classes without a query have no prior.

        Args:
            texts: the vocabulary, embedded.
            examples: vectors of known classes.
            temperature: that of cosines, at which logits are given: those of a sphere would be ``temperature · x · μ``.

        Raises:
            UsageError: where there are no examples, they belong to another model, or nothing tells two classes apart.
        """
        examples = check_examples("gda-prior", texts, examples, every_class=False)
        chosen = self.settled(texts, examples, temperature)
        return chosen.of_sums(texts, Sums.counted(chosen, examples, len(texts.vocabulary)), temperature, examples.space)

    sums_up = True

    def weights_of(self, examples: Examples) -> Float[Tensor, " n"] | None:
        """Their own weights: the views of a thing count as one example."""
        return examples.weights

    def settled(self, texts: TextEmbeddings, examples: Examples, temperature: float = 100.0) -> "GDAPrior":
        """The method with a κ; 4 where no class is in two images, so that there is nothing to choose by.

        Args:
            texts: the vocabulary, embedded.
            examples: vectors of known classes.
            temperature: of cosines.
        """
        if self.kappa is not None:
            return self
        numbers = fold_numbers(examples.labels, examples.groups)
        held = numbers >= 0
        if not held.any():
            return GDAPrior()
        losses = {}
        for kappa in KAPPAS:
            fit = partial(GDAPrior(kappa).fit, texts, temperature=temperature)
            logits = out_of_fold(examples, numbers, fit)
            losses[kappa] = fitted_weights([logits], examples.labels[held], (1.0,))[1]
        return GDAPrior(min(KAPPAS, key=losses.__getitem__))

    def of_sums(
        self, texts: TextEmbeddings, sums: Sums, temperature: float = 100.0, space: str | None = None
    ) -> LinearClassifier:
        """A classifier of the sums of examples.

        Args:
            texts: the vocabulary, embedded.
            sums: of vectors of its classes.
            temperature: of cosines.
            space: which vectors they are.

        Raises:
            UsageError: where nothing is known of a class, or nothing tells two classes apart.
        """
        if not (sums.totals.isfinite().all() and texts.vectors.isfinite().all()):
            raise UsageError("a vector of an example or a text is not finite; look at the weights of the model")
        kappas = DEFAULT if self.kappa is None else self.kappa
        seen, priors = sums.counts > 0, _text_means(texts)
        told = priors.isfinite().all(1) & (kappas > 0)
        _check_known(texts, seen | told, seen)
        kappa = torch.where(told, kappas, 0.0)
        means = (sums.totals + kappa[:, None] * _moved(priors, told, sums.means, seen)) / (sums.counts + kappa)[:, None]
        if not (means - means[0]).abs().max() > 1e-6:
            raise UsageError(
                "the examples of all classes have the same vector, so nothing tells them apart; look at the examples"
            )
        count = float(sums.counts.sum())
        sphere = min(1.0, sums.dim / count)
        weight = means @ precision_of(sums.scatter(means), count, sphere) * (max(count - 1, 1.0) / sums.dim)
        bias = -(weight * means).sum(1) / 2
        return LinearClassifier(weight.float(), bias.float(), texts.vocabulary, texts.model_id, space)


def _text_means(texts: TextEmbeddings) -> Float64[Tensor, "k d"]:
    """The mean direction of the texts of each class; NaN where it has none."""
    vectors, classes = texts.vectors.detach().double().cpu(), len(texts.vocabulary)
    totals = torch.zeros(classes, vectors.shape[1], dtype=torch.float64)
    totals.index_add_(0, texts.query_classes.cpu(), vectors)
    return totals / totals.norm(dim=1, keepdim=True)


def _moved(
    priors: Float64[Tensor, "k d"], told: Bool[Tensor, " k"], means: Float64[Tensor, "k d"], seen: Bool[Tensor, " k"]
) -> Float64[Tensor, "k d"]:
    """The means of texts where those of the examples lie; zero where there is no text."""
    centre = means[seen].mean(0)
    offset = priors - priors[told].mean(0)
    spread = (means[seen] - centre).square().sum(1).mean() / offset[told].square().sum(1).mean().clamp(min=1e-12)
    return torch.where(told[:, None], centre + spread.sqrt() * offset, 0.0)


def _check_known(texts: TextEmbeddings, known: Bool[Tensor, " k"], seen: Bool[Tensor, " k"]) -> None:
    names = texts.vocabulary.names
    lost = [names[place] for place in (~known).nonzero().flatten().tolist()]
    if lost:
        raise UsageError(
            f"there is no example of {', '.join(lost)}, and no text says what it is; give an example of it"
        )
    if not seen.any():
        raise UsageError("there is no example of any class; give some, or take the classifier `text`")
    if len(names) < 2:
        raise UsageError(
            f"{names[0]!r} is the only class, and there is nothing to tell it from; give examples of others"
        )
