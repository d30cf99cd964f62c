"""Sums of labelled vectors: all that Gaussian classes are made of, and they add up.

With the weight w of each vector x of class k, and 1 for vectors that are whole examples::

    n_k = Σ w        t_k = Σ w x        S = Σ w x xᵀ      (over all classes)

The scatter about any centres μ_k follows from them: ``S − Σ_k (t_k μ_kᵀ + μ_k t_kᵀ − n_k μ_k μ_kᵀ)``. So examples may
come in parts, in any order, and nothing of what was learnt before is lost. Arithmetic is float64: subtracting centres
from S would cost half of the digits of float32.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64, Int
from torch import Tensor

from densevl.classifiers.contracts import Classifier, ClassifierMethod, Examples
from densevl.core.errors import UsageError
from densevl.core.features import TextEmbeddings

__all__ = ["SummingMethod", "Sums", "precision_of"]


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums of the vectors of k classes.

    Attributes:
        counts: sum of the weights of each class.
        totals: weighted sum of the vectors of each class.
        squares: weighted sum of the products ``x xᵀ`` of all vectors, the upper triangle row by row.
    """

    counts: Float64[Tensor, " k"]
    totals: Float64[Tensor, "k d"]
    squares: Float64[Tensor, " u"]

    @classmethod
    def of(
        cls,
        vectors: Float[Tensor, "n d"],
        labels: Int[Tensor, " n"],
        classes: int,
        weights: Float[Tensor, " n"] | None = None,
    ) -> "Sums":
        """The sums of labelled vectors.

        Args:
            vectors: the examples.
            labels: class of each, from 0 to ``classes`` − 1.
            classes: number of classes.
            weights: of each vector, above zero; None for 1.
        """
        values, labels = vectors.detach().double().cpu(), labels.cpu()
        share = torch.ones(len(values), dtype=torch.float64) if weights is None else weights.double().cpu()
        owners = F.one_hot(labels.long(), classes) * share[:, None]  # products of matrices are faster than index_add
        rows, columns = _triangle(values.shape[1])
        return cls(owners.sum(0), owners.mT @ values, (values.mT @ (values * share[:, None]))[rows, columns])

    @classmethod
    def counted(cls, method: "SummingMethod", examples: Examples, classes: int) -> "Sums":
        """The sums of examples as a method counts them.

        Args:
            method: says their weights.
            examples: vectors of known classes.
            classes: number of classes.
        """
        return cls.of(examples.vectors, examples.labels, classes, method.weights_of(examples))

    def __len__(self) -> int:
        """Number of classes."""
        return len(self.counts)

    def __add__(self, other: "Sums") -> "Sums":
        """The sums of the vectors of both, which have the same classes."""
        return Sums(self.counts + other.counts, self.totals + other.totals, self.squares + other.squares)

    def __sub__(self, other: "Sums") -> "Sums":
        """The sums without those of vectors that are among them."""
        counts = (self.counts - other.counts).clamp(min=0)
        gone = counts < 1e-9  # of weights such as a fifth something remains where nothing is left
        totals = torch.where(gone[:, None], 0.0, self.totals - other.totals)
        return Sums(torch.where(gone, 0.0, counts), totals, self.squares - other.squares)

    @property
    def dim(self) -> int:
        """Numbers of a vector."""
        return int(self.totals.shape[1])

    @property
    def means(self) -> Float64[Tensor, "k d"]:
        """Mean vector of each class; zero where it has no example."""
        return self.totals / self.counts.clamp(min=torch.finfo(torch.float64).tiny)[:, None]

    def scatter(self, centres: Float64[Tensor, "k d"]) -> Float64[Tensor, "d d"]:
        """Sum of the products ``(x − μ)(x − μ)ᵀ`` of all vectors about the centres of their classes."""
        products = torch.zeros(self.dim, self.dim, dtype=torch.float64)
        rows, columns = _triangle(self.dim)
        products[rows, columns] = self.squares
        products[columns, rows] = self.squares
        crossed = self.totals.mT @ centres
        return products - crossed - crossed.mT + centres.mT @ (self.counts[:, None] * centres)

    def placed(self, places: Sequence[int], classes: int) -> "Sums":
        """The same sums among more classes.

        Args:
            places: the place of each class among them.
            classes: their number.
        """
        index = torch.tensor(places, dtype=torch.long)
        counts = torch.zeros(classes, dtype=torch.float64).index_copy(0, index, self.counts)
        totals = torch.zeros(classes, self.dim, dtype=torch.float64).index_copy(0, index, self.totals)
        return Sums(counts, totals, self.squares)

    def check(self, classes: int, dim: int) -> None:
        """Refuse sums of other classes or other vectors.

        Raises:
            UsageError: where their sizes differ from these.
        """
        sizes = (tuple(self.counts.shape), tuple(self.totals.shape), tuple(self.squares.shape))
        if sizes != ((classes,), (classes, dim), (dim * (dim + 1) // 2,)):
            raise UsageError(f"the sums are not those of {classes} classes of vectors of {dim} numbers")


@runtime_checkable
class SummingMethod(ClassifierMethod, Protocol):
    """A method that makes classifiers of the sums of examples, so that examples can be added later.

    Attributes:
        sums_up: False where settings of it need the examples themselves.
    """

    @property
    def sums_up(self) -> bool: ...

    def settled(self, texts: TextEmbeddings, examples: Examples, temperature: float) -> "SummingMethod":
        """The method with every setting that it leaves to the examples."""
        ...

    def weights_of(self, examples: Examples) -> Float[Tensor, " n"] | None:
        """The weights by which it counts examples and their views; None for 1."""
        ...

    def of_sums(
        self, texts: TextEmbeddings, sums: Sums, temperature: float = 100.0, space: str | None = None
    ) -> Classifier:
        """A classifier of the vocabulary of the texts."""
        ...


def precision_of(scatter: Float64[Tensor, "d d"], count: float, sphere: float = 1.0) -> Float64[Tensor, "d d"]:
    """Kubokawa and Srivastava's estimate of the inverse covariance, ``d · ((N − 1) Σ + λ tr(Σ) I)⁻¹`` with λ = 1.

    Examples that lie at the means exactly say nothing of the covariance: then it is that of a sphere, and the nearest
    mean wins.

    Args:
        scatter: (N − 1) Σ.
        count: N.
        sphere: λ, above 0; less than 1 trusts the scatter more.
    """
    identity, width = torch.eye(len(scatter), dtype=scatter.dtype), len(scatter)
    spread = float(scatter.trace()) / max(count - 1, 1)
    return identity * width if spread < 1e-9 else width * torch.linalg.inv(scatter + sphere * spread * identity)


def _triangle(dim: int) -> tuple[Int[Tensor, " u"], Int[Tensor, " u"]]:
    """Rows and columns of the upper triangle of a matrix, its diagonal included."""
    rows, columns = torch.triu_indices(dim, dim)
    return rows, columns
