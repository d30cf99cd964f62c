"""Tells images of a kind that is known from others: a Gaussian of summaries, and a p-value from held-out scores.

Sources: Lee et al., A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial Attacks,
NeurIPS 2018, https://arxiv.org/abs/1807.03888 (the Mahalanobis distance of features); Tipping and Bishop, Probabilistic
Principal Component Analysis, JRSS B 1999 (the covariance: the largest variances one by one, the rest alike); Bates et
al., Testing for Outliers with Conformal p-values, Annals of Statistics 2023, https://arxiv.org/abs/2104.08279.

With the mean μ of the summaries x of known images, the k directions U of their largest variances λ, and the mean σ² of
the other variances::

    s(x) = Σ (Uᵀ(x − μ))² / λ + (|x − μ|² − |Uᵀ(x − μ)|²) / σ²
    p(x) = (1 + number of held-out scores ≥ s(x)) / (1 + number of held-out scores)

Of images of the known kind, a fraction p has a p-value of p or less, whatever their distribution is: so a limit on
p-values is a rate of false alarms.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor

from densevl.core.errors import UsageError, WeightsError
from densevl.core.files import atomic_write
from densevl.core.tensor_bytes import tensor_bytes

__all__ = ["FEWEST", "LEVEL", "Familiarity"]

LEVEL = 0.001
"""The p-value up to which an image counts as unfamiliar: one image of the known kind in a thousand does."""

RANK, FOLDS = 64, 5
"""Variances that are kept one by one, at most; parts of which each is scored by a fit of the others."""

FEWEST = 20
"""Images that a fit wants at least; the smallest p-value is then 1 in 21."""

FORMAT = "densevl familiarity 1"
TENSORS = ("mean", "directions", "variances", "rest", "scores")


@dataclass(frozen=True, eq=False)
class Familiarity:
    """A test of an image's summary: is it one of the known kind?

    Attributes:
        mean: of the summaries.
        directions: unit vectors, those of the largest variances.
        variances: along the directions, each above zero.
        rest: variance along all other directions, above zero.
        scores: of held-out images of the known kind, ascending.
        model_id: identity of the encoder that made the summaries.
        what: the known kind in words, such as "drawn scenes".
    """

    mean: Float32[Tensor, " d"]
    directions: Float32[Tensor, "k d"]
    variances: Float32[Tensor, " k"]
    rest: Float32[Tensor, ""]
    scores: Float32[Tensor, " m"]
    model_id: str
    what: str

    @classmethod
    def fit(
        cls,
        summaries: Float[Tensor, "n d"],
        model_id: str,
        what: str,
        held_out: Float[Tensor, "m d"] | None = None,
    ) -> "Familiarity":
        """A test of known images.

        Args:
            summaries: of at least :data:`FEWEST` images of the known kind.
            model_id: identity of the encoder that made them.
            what: the known kind in words.
            held_out: summaries of other images of that kind, to score; None to score each fifth of the images by a fit
                of the others, which makes p-values somewhat too large rather than too small.

        Raises:
            UsageError: where there are too few images, or a summary is not finite.
        """
        if len(summaries) < FEWEST:
            raise UsageError(f"give at least {FEWEST} images of the kind that is known; got {len(summaries)}")
        if not summaries.isfinite().all():
            raise UsageError(
                "the features of an image are not finite, so nothing can be known by them; look at the weights"
            )
        fitted = _gaussian(summaries, model_id, what)
        if held_out is None:
            parts = torch.arange(len(summaries)) % FOLDS
            scores = [
                _gaussian(summaries[parts != part], model_id, what).score(summaries[parts == part])
                for part in range(FOLDS)
            ]
            found = torch.cat(scores)
        else:
            found = fitted.score(held_out)
        return replace(fitted, scores=found.float().sort().values)

    @property
    def digest(self) -> str:
        """The beginning of a hash of it, for fingerprints."""
        return hashlib.sha256(self._bytes()).hexdigest()[:12]

    @property
    def level(self) -> float:
        """The p-value up to which an image counts as unfamiliar: :data:`LEVEL`, or the smallest that there is."""
        return max(LEVEL, 1 / (len(self.scores) + 1))

    def check(self, model_id: str) -> None:
        """Refuse summaries of another encoder.

        Raises:
            UsageError: where the identity is another.
        """
        if model_id != self.model_id:
            raise UsageError(
                f"what is known of {self.what} was learnt from features of {self.model_id!r}, and this encoder is "
                f"{model_id!r}; learn it anew from images of that kind"
            )

    def score(self, summaries: Float[Tensor, "n d"]) -> Float64[Tensor, " n"]:
        """Squared distances from the known images; the larger, the less familiar."""
        offset = summaries.detach().double().cpu() - self.mean
        along = offset @ self.directions.double().mT
        beside = (offset.square().sum(1) - along.square().sum(1)).clamp(min=0)
        return (along.square() / self.variances).sum(1) + beside / self.rest

    def p_values(self, summaries: Float[Tensor, "n d"]) -> list[float]:
        """The fraction of images of the known kind that look at least as unusual; above 0, up to 1."""
        count = len(self.scores)
        below = torch.searchsorted(
            self.scores.double(), self.score(summaries)
        )  # a score that is no number counts as largest
        return [(1 + count - int(number)) / (1 + count) for number in below]

    def save(self, path: str | Path) -> None:
        """Write it as safetensors; mean and directions take half the room where they are in half precision.

        Raises:
            OutputError: where the file cannot be written.
        """
        with atomic_write(path) as temporary:
            temporary.write_bytes(self._bytes())

    def _bytes(self) -> bytes:
        tensors = {name: _stored(getattr(self, name)) for name in TENSORS}
        return tensor_bytes(tensors, {"format": FORMAT, "model_id": self.model_id, "what": self.what})

    @classmethod
    def of_state(cls, state: Mapping[str, Tensor], metadata: Mapping[str, str], path: str | Path) -> "Familiarity":
        """A test from what a file of :meth:`save` holds.

        Args:
            state: its tensors.
            metadata: its texts.
            path: of the file, for errors.

        Raises:
            WeightsError: where the file holds something else, or is damaged.
        """
        if metadata.get("format") != FORMAT or set(state) != set(TENSORS):
            raise WeightsError(f"{path} does not hold what a model knows; expected a file of `--unknown` or of densevl")
        values = {name: value.float() for name, value in state.items()}
        ranks, width = values["variances"].shape, values["mean"].shape
        whole = all(value.isfinite().all() for value in values.values())
        fits = values["directions"].shape == (*ranks, *width) and values["rest"].dim() == 0 and len(values["scores"])
        positive = whole and bool((values["variances"] > 0).all() and values["rest"] > 0)
        if not (fits and positive and bool((values["scores"].diff() >= 0).all())):
            raise WeightsError(f"{path} is damaged: its numbers do not belong together; take the file anew")
        return cls(**values, model_id=metadata.get("model_id", ""), what=metadata.get("what", "known images"))


def _stored(values: Float32[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """Numbers in half precision where that changes none of them."""
    halves = values.half()
    return (halves if torch.equal(halves.float(), values) else values).contiguous()


def _gaussian(summaries: Float[Tensor, "n d"], model_id: str, what: str) -> Familiarity:
    """The Gaussian of summaries, without scores."""
    values = summaries.detach().double().cpu()
    count, width = values.shape
    mean = values.mean(0)
    _, sizes, directions = torch.linalg.svd(values - mean, full_matrices=False)
    variances = sizes.square() / (count - 1)
    rank = min(RANK, count // 4, width - 1)
    rest = (variances[rank:].sum() / (width - rank)).clamp(min=1e-12)
    kept = variances[:rank].clamp(min=float(rest))
    none = torch.zeros(0)
    return Familiarity(mean.float(), directions[:rank].float(), kept.float(), rest.float(), none, model_id, what)
