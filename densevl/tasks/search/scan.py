"""The exact scan: the cosine of every region with each query, a block at a time, and the best of all blocks.

A block is compared by the quickest arithmetic that its store allows, whose error has a bound e. A region can only be
among the best k where this score comes within 2 e of the k-th best so far; those that do are compared again by one
arithmetic for all stores: the dot product of one decoded vector in float32, a row by itself. So scores do not depend on
the blocks, on how many queries are asked together, or on what lies beside a row, and equal vectors score the same.
Regions that score the same are ranked by their rows.

===========  =================================  ==================================================================
store        compared by                        e for a query q of d numbers, beside vectors of unit length
===========  =================================  ==================================================================
float32      the same, for few queries          0
any          a matrix product of float32        2 · d · 2^-24 · \\|q|, the rounding of two sums of d products
float16      products with q in float16         that, \\|q - q in float16|, and the rounding of the score to float16
int8         products of whole numbers, exact   that, and \\|q - q'|; q' is q in two digits of int8 each
===========  =================================  ==================================================================
"""

import math
from collections.abc import Callable, Iterator
from functools import cached_property, lru_cache
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.tasks.search.part import Part
from densevl.tasks.search.stores import coded, decoded

__all__ = ["Rows", "best_rows", "exact_rows", "labels_of", "rescored", "scored_rows", "vectors_at"]

BLOCK = 16384
"""Rows that are compared together."""

FEW = 4
"""Queries up to which products of one vector each are quicker than a matrix product, which reads the block as often."""

SPARSE = 4
"""Where fewer than one row in so many counts, these are read by themselves and not the whole block."""

PAIRS = 4096
"""Pairs of a query and a region that are compared again together."""

NOT_FINITE = "the index holds a vector that is not finite: it is damaged; embed the images anew"


@runtime_checkable
class Rows(Protocol):
    """The rows of an index as a scan reads them; see :class:`densevl.tasks.search.RegionIndex`."""

    @property
    def parts(self) -> tuple[Part, ...]: ...

    @property
    def live(self) -> Bool[Tensor, " n"]: ...


def exact_rows(
    index: Rows, queries: Float32[Tensor, "q d"], most: int, block: int | None = None
) -> list[tuple[Tensor, Tensor]]:
    """Scores and rows of the best regions of each query, the best first.

    Args:
        index: where to look.
        queries: unit vectors of the index's model.
        most: regions of each query.
        block: rows that are compared together, None for what is quick; the answer does not depend on it.

    Raises:
        UsageError: where the index holds a vector that is not finite.
    """
    asked = _Asked(queries.contiguous())
    stores = {coded(part.vectors, slice(0, 0))[0].dtype for part in index.parts}
    slack = torch.stack([asked.slack(dtype) for dtype in stores]).amax(0)
    best = _Best(len(queries), most, slack)
    for values, scales, rows, kept in _blocks(index, block or asked.block(stores)):
        best.add(asked.scores(values, scales), rows, kept)
    return best.found() if not slack.any() else rescored(index, queries, best.candidates(), most)


def scored_rows(
    index: Rows, score: Callable[[Float32[Tensor, "n d"]], Float32[Tensor, "q n"]], count: int, most: int
) -> list[tuple[Tensor, Tensor]]:
    """Scores and rows of the regions that a function of their vectors scores best.

    Args:
        index: where to look.
        score: of vectors of the index, for each query.
        count: number of queries.
        most: regions of each query.

    Raises:
        UsageError: where the index holds a vector that is not finite.
    """
    best = _Best(count, most, torch.zeros(count))
    for values, scales, rows, kept in _blocks(index, BLOCK):
        best.add(score(decoded(values, scales)), rows, kept)
    return best.found()


def labels_of(index: Rows, label: Callable[[Float32[Tensor, "n d"]], Tensor]) -> Int64[Tensor, " n"]:
    """What a function of their vectors says of the rows that count; -1 for the others."""
    found = torch.full((len(index.live),), -1)
    for values, scales, rows, kept in _blocks(index, BLOCK):
        labels = label(decoded(values, scales))
        found[rows if kept is None else rows[kept]] = labels if kept is None else labels[kept]
    return found


def rescored(
    index: Rows, queries: Float32[Tensor, "q d"], candidates: list[Tensor], most: int
) -> list[tuple[Tensor, Tensor]]:
    """Scores and rows of the best of some rows for each query, by the vectors of the index.

    Args:
        index: where to look.
        queries: unit vectors of the index's model.
        candidates: rows to compare with each query.
        most: regions of each query.

    Raises:
        UsageError: where the index holds a vector that is not finite.
    """
    counts = [len(rows) for rows in candidates]
    rows, owners = torch.cat(candidates), torch.arange(len(queries)).repeat_interleave(torch.tensor(counts))
    scores = torch.empty(len(rows))
    order = rows.argsort()  # the files are read from front to back
    for some in order.split(PAIRS):
        pairs = np.vecdot(vectors_at(index, rows[some]).numpy(), queries[owners[some]].numpy())
        scores[some] = torch.from_numpy(pairs)
    if not scores.isfinite().all():
        raise UsageError(NOT_FINITE)
    return [best_rows(one, own, most) for one, own in zip(scores.split(counts), candidates, strict=True)]


def vectors_at(index: Rows, rows: Int64[Tensor, " m"]) -> Float32[Tensor, "m d"]:
    """The vectors of ascending rows, which may come more than once."""
    ends = torch.tensor([len(part) for part in index.parts]).cumsum(0)
    owners, counts = torch.bucketize(rows, ends, right=True).unique_consecutive(return_counts=True)
    found = [torch.zeros(0, int(index.parts[0].vectors.shape[1]))]
    for owner, own in zip(owners.tolist(), rows.split(counts.tolist()), strict=True):
        part = index.parts[owner]
        found.append(decoded(*coded(part.vectors, own - (int(ends[owner]) - len(part)))))
    return torch.cat(found)


def best_rows(
    scores: Float32[Tensor, " n"], rows: Int64[Tensor, " n"], most: int
) -> tuple[Float32[Tensor, " k"], Int64[Tensor, " k"]]:
    """The best scores and their rows; of equal scores the lower row comes first."""
    if len(scores) > most:
        kept = scores >= scores.topk(most).values[-1]
        scores, rows = scores[kept], rows[kept]
    order = rows.argsort()
    order = order[scores[order].argsort(descending=True, stable=True)][:most]
    return scores[order], rows[order]


def _blocks(index: Rows, block: int) -> Iterator[tuple[Tensor, Tensor | None, Tensor, Tensor | None]]:
    """Values, scales and rows of each block, and which of these rows count; None where all do."""
    start = 0
    for part in index.parts:
        for first in range(0, len(part), block):
            last = min(first + block, len(part))
            live = index.live[start + first : start + last]
            count = int(np.count_nonzero(live.numpy()))  # numpy's is several times as quick
            if count == last - first:
                yield *coded(part.vectors, slice(first, last)), torch.arange(start + first, start + last), None
            elif count * SPARSE < last - first:
                own = first + live.nonzero().flatten()
                if count:
                    yield *coded(part.vectors, own), start + own, None
            else:
                yield *coded(part.vectors, slice(first, last)), torch.arange(start + first, start + last), live
        start += len(part)


class _Asked:
    """Queries, made ready for each store once."""

    def __init__(self, queries: Float32[Tensor, "q d"]) -> None:
        self.queries = queries

    def scores(self, values: Tensor, scales: Tensor | None) -> Float32[Tensor, "q n"]:
        """Scores of a block, each within :meth:`slack` of what is right."""
        if values.dtype == torch.int8 and _whole_products_are_exact():
            return self._of_codes(values, scales)
        if len(self.queries) > FEW:
            return self.queries @ decoded(values, scales).mT
        if values.dtype == torch.float16:
            return torch.stack([values @ query for query in self._half]).float()
        vectors = decoded(values, scales).numpy()
        return torch.from_numpy(np.stack([np.vecdot(vectors, query) for query in self.queries.numpy()]))

    def block(self, stores: set[torch.dtype]) -> int:
        """Rows to compare together: more where there are few queries and nothing is decoded."""
        decodes = torch.int8 in stores and not _whole_products_are_exact()
        return BLOCK if len(self.queries) > FEW or decodes else 4 * BLOCK

    def slack(self, dtype: torch.dtype) -> Float32[Tensor, " q"]:
        """How far a score may lie from what is right, for each query; see the module."""
        lengths = self.queries.norm(dim=1)
        if dtype == torch.float32 and len(self.queries) <= FEW:
            return torch.zeros(len(self.queries))
        slack = 2 * self.queries.shape[1] * 2**-24 * lengths
        if dtype == torch.int8 and _whole_products_are_exact():
            slack = slack + (self.queries - self._rounded).norm(dim=1)
        elif dtype == torch.float16 and len(self.queries) <= FEW:
            slack = slack + (self.queries - self._half.float()).norm(dim=1) + 2**-11 * lengths
        return slack

    @cached_property
    def _half(self) -> Tensor:
        return self.queries.half()

    @cached_property
    def _digits(self) -> tuple[Tensor, Tensor, Tensor]:
        """A query as ``step · (high + low / 254)``, both of int8."""
        step = self.queries.abs().amax(1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny) / 127
        high = (self.queries / step).round()
        low = ((self.queries / step - high) * 254).round()
        return step, high.to(torch.int8), low.to(torch.int8)

    @property
    def _rounded(self) -> Float32[Tensor, "q d"]:
        step, high, low = self._digits
        return step * (high.float() + low.float() / 254)

    def _of_codes(self, codes: Tensor, scales: Tensor | None) -> Float32[Tensor, "q n"]:
        step, high, low = self._digits
        whole, rest = torch._int_mm(torch.cat([high, low]), codes.mT).float().chunk(2)
        return (
            rest.div_(254).add_(whole).mul_(step) if scales is None else rest.div_(254).add_(whole).mul_(step * scales)
        )


@lru_cache(maxsize=1)
def _whole_products_are_exact() -> bool:
    """True where products of int8 do not saturate, as they may where a processor has no dot product of them."""
    try:
        large = torch.full((32, 512), 127, dtype=torch.int8)
        return bool((torch._int_mm(large, -large.mT) == -512 * 127 * 127).all())
    except (RuntimeError, AttributeError):
        return False


class _Best:
    """What may be among the best of each query so far.

    It is kept in the same memory from the first block to the last. Small pieces of each block would lie between the
    large ones that come and go, and hold on to their memory: 6 GB for 100 queries of 10⁷ regions.

    Args:
        count: number of queries.
        most: regions of each.
        slack: how far a score may lie from what is right, for each query.
    """

    def __init__(self, count: int, most: int, slack: Float32[Tensor, " q"]) -> None:
        self.most, self.margin = most, 2 * slack
        self.least = torch.full((count,), -torch.inf)
        self._held, self._count, self._first = _held(4 * count * most + 4096), 0, True

    def add(self, scores: Float32[Tensor, "q n"], rows: Int64[Tensor, " n"], kept: Bool[Tensor, " n"] | None) -> None:
        """Take the scores of a block, of which some rows may not count.

        Raises:
            UsageError: where a score is not finite.
        """
        if kept is not None:
            scores, rows = scores[:, kept], rows[kept]
        if not math.isfinite(float(scores.sum())):
            raise UsageError(NOT_FINITE)
        if self._first and len(rows) > self.most:
            self.least = scores.topk(self.most).values[:, -1] - self.margin
            self._first = False
        flags = scores.numpy() >= self.least.numpy()[:, None]
        queries, places = map(torch.from_numpy, np.nonzero(flags))  # numpy's is several times as quick
        self._take(queries, scores[queries, places], rows[places])

    def _take(self, *given: Tensor) -> None:
        """Keep queries, scores and rows; what has come to lie below the best makes room."""
        if self._count + len(given[0]) > len(self._held[0]):
            self._sift()
        if self._count + len(given[0]) > len(self._held[0]):
            wider = _held(2 * (self._count + len(given[0])))
            for one, held in zip(wider, self._held, strict=True):
                one[: self._count] = held[: self._count]
            self._held = wider
        for held, new in zip(self._held, given, strict=True):
            held[self._count : self._count + len(new)] = new
        self._count += len(given[0])

    def candidates(self) -> list[Int64[Tensor, " m"]]:
        """The rows that may be among the best of each query."""
        queries, _, rows = self._sift()
        return list(rows.split(queries.bincount(minlength=len(self.least)).tolist()))

    def found(self) -> list[tuple[Tensor, Tensor]]:
        """Scores and rows of the best of each query, where the scores are right."""
        queries, scores, rows = self._sift()
        counts = queries.bincount(minlength=len(self.least)).tolist()
        pairs = zip(scores.split(counts), rows.split(counts), strict=True)
        return [best_rows(one, own, self.most) for one, own in pairs]

    def _sift(self) -> tuple[Tensor, Tensor, Tensor]:
        """Leave out what has come to lie below the best; queries, scores and rows of the rest, by queries."""
        queries, scores, rows = (held[: self._count] for held in self._held)
        order = scores.argsort(descending=True)
        order = order[queries[order].argsort(stable=True)]
        queries, scores, rows = queries[order], scores[order], rows[order]
        counts = queries.bincount(minlength=len(self.least))
        last = counts.cumsum(0) - counts + self.most - 1  # the k-th best of each query, where there are so many
        full = counts >= self.most
        self.least[full] = scores[last[full]] - self.margin[full]
        kept, self._count = scores >= self.least[queries], 0
        found = queries[kept], scores[kept], rows[kept]
        self._take(*found)
        return found


def _held(room: int) -> tuple[Int64[Tensor, " n"], Float32[Tensor, " n"], Int64[Tensor, " n"]]:
    """Room for queries, scores and rows."""
    return torch.empty(room, dtype=torch.int64), torch.empty(room), torch.empty(room, dtype=torch.int64)
