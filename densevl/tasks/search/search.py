"""Search: the regions that a ranker puts first, without those that an image has too many of or that lie on better ones.

The ranker is the exact scan (:mod:`densevl.tasks.search.scan`) unless another one is given.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol, runtime_checkable

from jaxtyping import Float32, Int64
from torch import Tensor

from densevl.classifiers.contracts import Classifier, check_classifier
from densevl.core.errors import UsageError
from densevl.core.features import TextVectors
from densevl.core.geometry import box_ious
from densevl.core.regions import RegionEmbeddings
from densevl.tasks.search.part import IndexedImage
from densevl.tasks.search.scan import Rows, exact_rows, scored_rows

__all__ = ["Hit", "Ranker", "Searched", "check_queries", "search", "search_class"]

MORE = 4
"""How many regions are ranked for each hit that is wanted, and by how much that grows where too many are left out."""

Ranker = Callable[[Float32[Tensor, "q d"], int], list[tuple[Tensor, Tensor]]]
"""From queries and a number k to the scores and rows of the best k regions of each query, the best first."""


@dataclass(frozen=True)
class Hit:
    """A region that was found.

    Attributes:
        score: cosine with the query, or the probability of a taught class.
        image: where it lies.
        box: xyxy pixels, half-open.
        proposal: score of the proposal; None where its maker gave none.
        mask: run-length code; empty where none was kept.
        row: of the index.
    """

    score: float
    image: IndexedImage
    box: tuple[float, float, float, float]
    proposal: float | None
    mask: str
    row: int


@runtime_checkable
class Searched(Rows, Protocol):
    """The interface of an index to a search; see :class:`densevl.tasks.search.RegionIndex`."""

    @property
    def model_id(self) -> str: ...

    def __len__(self) -> int: ...

    def hit(self, row: int, score: float) -> Hit: ...


def search(
    index: Searched,
    queries: TextVectors | RegionEmbeddings,
    top: int = 20,
    per_image: int | None = None,
    overlap: float | None = 0.5,
    ranker: Ranker | None = None,
) -> list[list[Hit]]:
    """The regions nearest to each query, the nearest first.

    Args:
        index: where to look.
        queries: texts, or example regions, embedded by the model of the index.
        top: hits of each query, fewer where the index has fewer.
        per_image: hits of an image at most.
        overlap: a region whose IoU with a better hit of the same image is above this is left out; None keeps all.
        ranker: what ranks the regions; None for the exact search.

    Raises:
        UsageError: where the index was made by another model or is damaged, or a number is out of range.
    """
    _check_limits(top, per_image, overlap)
    vectors = check_queries(index, queries)
    rank = ranker or partial(exact_rows, index)
    return [
        _hits(index, first, partial(_ranked, rank, query[None]), top, per_image, overlap)
        for query, first in zip(vectors, rank(vectors, MORE * top), strict=True)
    ]


def search_class(
    index: Searched,
    classifier: Classifier,
    label: int,
    top: int = 20,
    per_image: int | None = None,
    overlap: float | None = 0.5,
) -> list[Hit]:
    """The regions that most probably show a taught class; their scores are its probabilities.

    Args:
        index: where to look.
        classifier: of the vectors of the index.
        label: of the class.
        top: hits, fewer where the index has fewer.
        per_image: hits of an image at most.
        overlap: a region whose IoU with a better hit of the same image is above this is left out; None keeps all.

    Raises:
        UsageError: where the index was made by another model or is damaged, or a number is out of range.
    """
    _check_limits(top, per_image, overlap)
    check_classifier(classifier, index.model_id, classifier.space)

    def rank(most: int) -> tuple[Tensor, Tensor]:
        def score(values: Tensor) -> Tensor:
            return classifier(values.float()).softmax(1)[:, label][None]

        return scored_rows(index, score, 1, most)[0]

    return _hits(index, rank(MORE * top), rank, top, per_image, overlap)


def _ranked(rank: Ranker, query: Float32[Tensor, "1 d"], most: int) -> tuple[Tensor, Tensor]:
    return rank(query, most)[0]


def _check_limits(top: int, per_image: int | None, overlap: float | None) -> None:
    if top < 1 or (per_image is not None and per_image < 1):
        raise UsageError(f"top and per_image must be at least 1; got {top} and {per_image}")
    if overlap is not None and not 0 <= overlap <= 1:
        raise UsageError(f"overlap is an IoU between 0 and 1; got {overlap}")


def _hits(
    index: Searched,
    ranked: tuple[Tensor, Tensor],
    rank: Callable[[int], tuple[Tensor, Tensor]],
    top: int,
    per_image: int | None,
    overlap: float | None,
) -> list[Hit]:
    """The hits of one query; more rows are ranked where those that were left out made room.

    Args:
        index: where to look.
        ranked: the best ``MORE · top`` rows.
        rank: from a number to that many of the best rows.
        top: see :func:`search`.
        per_image: see :func:`search`.
        overlap: see :func:`search`.
    """
    hits, looked = _walk(index, *ranked, top, per_image, overlap), MORE * top
    while len(hits) < top and len(ranked[0]) == looked < len(index):
        looked *= MORE
        ranked = rank(looked)
        hits = _walk(index, *ranked, top, per_image, overlap)
    return hits


def check_queries(index: Searched, queries: TextVectors | RegionEmbeddings) -> Float32[Tensor, "q d"]:
    """The vectors of queries that can be compared with the vectors of the index.

    Raises:
        UsageError: where another model made them, or one is not finite.
    """
    if queries.model_id != index.model_id:
        raise UsageError(
            f"the index was made by {index.model_id!r} and the query by {queries.model_id!r}; "
            "search with the model of the index, or embed the images anew"
        )
    if not queries.vectors.isfinite().all():
        raise UsageError("a query is not finite, so nothing can be compared with it; look at the weights of the model")
    return queries.vectors.detach().float().cpu()


def _walk(
    index: Searched,
    scores: Float32[Tensor, " k"],
    rows: Int64[Tensor, " k"],
    top: int,
    per_image: int | None,
    overlap: float | None,
) -> list[Hit]:
    """The first regions of a ranking, without those that an image has too many of or that lie on better ones."""
    hits: list[Hit] = []
    taken: dict[str, list[Hit]] = {}
    for score, row in zip(scores.tolist(), rows.tolist(), strict=True):
        hit = index.hit(row, score)
        others = taken.setdefault(hit.image.path, [])
        full = per_image is not None and len(others) >= per_image
        boxes = [other.box for other in others]
        if full or (overlap is not None and (box_ious(boxes, hit.box) > overlap).any()):
            continue
        others.append(hit)
        hits.append(hit)
        if len(hits) == top:
            break
    return hits
