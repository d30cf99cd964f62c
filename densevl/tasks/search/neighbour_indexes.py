"""Libraries that find near neighbours among vectors, behind one door each: FAISS and usearch.

- FAISS: Douze et al., The Faiss library, 2024, https://arxiv.org/abs/2401.08281. ``hnsw`` walks a graph (32 neighbours,
  efConstruction 80), ``ivf`` looks through the nearest 1/16 of its lists, ``ivf-pq`` through 64
  of at most 4096 lists whose vectors are kept as codes of 4 bits for each 4 numbers: 64 bytes for 512 numbers. What is
  coded is how far a vector lies from the centre of its list, turned so that each code has its share of what is large:
  Ge et al., Optimized Product Quantization, CVPR 2013, https://arxiv.org/abs/1304.5159v1, section 3.2 (eigenvalue
  allocation), without its iterations.
- usearch: https://github.com/unum-cloud/usearch, a graph (16 neighbours, expansion 128) of vectors in half precision or
  int8, which is mapped into memory and not read.

A walk in a graph keeps the half of the square root of the number of vectors, 128 or more: of 10⁶ vectors a walk that
keeps 128 finds 85 to 91 percent of those that lie near a text, and one that keeps 500 finds 98 to 99.
"""

import heapq
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from densevl.core.errors import UsageError

__all__ = ["KINDS", "Kind", "NeighbourIndex"]

Sample = Callable[[int], Float32[Tensor, "m d"]]
"""From a number to that many of the vectors, or all of them where there are fewer."""


@runtime_checkable
class NeighbourIndex(Protocol):
    """Vectors by their places, in the order in which they were added."""

    def search(self, queries: Float32[Tensor, "q d"], count: int) -> Int64[Tensor, "q k"]:
        """The places of about the nearest vectors of each query; -1 where there are no more."""
        ...

    def save(self, path: Path) -> None:
        """Write it to a file."""
        ...


@dataclass(frozen=True)
class Kind:
    """A way of finding near neighbours.

    Attributes:
        build: from the number of vectors, their dimension, a sample and all of them in blocks to an index.
        read: from a file of such an index to it.
        library: whose file it is.
        candidates: neighbours that are compared again for each that is wanted; more where codes are coarse.
    """

    build: Callable[[int, int, Sample, Iterable[Tensor]], NeighbourIndex]
    read: Callable[[Path], NeighbourIndex]
    library: str
    candidates: int


class _Faiss:
    """An index of FAISS."""

    def __init__(self, found: Any) -> None:
        self.found = found

    @classmethod
    def build(cls, kind: str, count: int, dim: int, sample: Sample, blocks: Iterable[Tensor]) -> "_Faiss":
        faiss = _faiss()
        if kind == "hnsw":
            found = faiss.index_factory(dim, "HNSW32,Flat", faiss.METRIC_INNER_PRODUCT)
            found.hnsw.efConstruction = 80
        elif kind == "flat" or count < LEARNT:  # too few to learn lists and codes from
            found = faiss.IndexFlatIP(dim)
        else:
            return cls(_lists(kind, count, dim, sample, blocks))
        for block in blocks:
            found.add(block.numpy())
        return cls(found)

    @classmethod
    def read(cls, path: Path) -> "_Faiss":
        return cls(_faiss().read_index(str(path)))

    def search(self, queries: Float32[Tensor, "q d"], count: int) -> Int64[Tensor, "q k"]:
        if hasattr(self.found, "hnsw"):
            self.found.hnsw.efSearch = _kept(self.found.ntotal, count)
        return torch.from_numpy(self.found.search(queries.contiguous().numpy(), count)[1])

    def save(self, path: Path) -> None:
        _faiss().write_index(self.found, str(path))


class _Usearch:
    """An index of usearch."""

    def __init__(self, found: Any) -> None:
        self.found = found

    @classmethod
    def build(cls, dtype: str, count: int, dim: int, sample: Sample, blocks: Iterable[Tensor]) -> "_Usearch":
        found = _usearch().Index(ndim=dim, metric="cos", dtype=dtype, connectivity=16, expansion_add=128)
        start = 0
        for block in blocks:
            keys = np.arange(start, start + len(block), dtype=np.uint64)
            found.add(keys, block.numpy(), threads=torch.get_num_threads())
            start += len(block)
        return cls(found)

    @classmethod
    def read(cls, path: Path) -> "_Usearch":
        return cls(_usearch().Index.restore(str(path), view=True))

    def search(self, queries: Float32[Tensor, "q d"], count: int) -> Int64[Tensor, "q k"]:
        self.found.expansion_search = _kept(len(self.found), count)
        places = torch.full((len(queries), count), -1)
        for query, own in zip(queries.numpy(), places, strict=True):
            keys = self.found.search(query, count, threads=torch.get_num_threads()).keys
            own[: len(keys)] = torch.from_numpy(keys.astype(np.int64))
        return places

    def save(self, path: Path) -> None:
        self.found.save(str(path))


def _kept(vectors: int, count: int) -> int:
    """How many vectors a walk in a graph keeps to find some of them."""
    return max(128, math.isqrt(vectors) // 2, count)


def _lists(kind: str, count: int, dim: int, sample: Sample, blocks: Iterable[Tensor]) -> Any:
    """An index of FAISS with lists, of vectors or of codes."""
    faiss, codes = _faiss(), kind == "ivf-pq"
    lists = max(1, min(round(4 * math.sqrt(count)), count // LEARNT, 4096 if codes else count))
    found = faiss.index_factory(dim, f"IVF{lists},Flat", faiss.METRIC_INNER_PRODUCT)
    found.cp.niter = 8
    learnt = sample(max(LEARNT * lists, 2048))
    found.train(learnt.numpy())
    centres, turn = torch.from_numpy(found.quantizer.reconstruct_n(0, lists)), None
    if codes:
        groups = dim // next(size for size in (4, 3, 2, 1) if dim % size == 0)
        turn = _turned(learnt - centres[_nearest(learnt, centres)], groups)
        found = faiss.index_factory(dim, f"IVF{lists},PQ{groups}x4", faiss.METRIC_INNER_PRODUCT)
        found.quantizer.add((centres @ turn).numpy())
        found.do_polysemous_training = False  # an order of the codes that no search here makes use of
        found.train((learnt @ turn).numpy())  # the codes alone, as it has its lists
    start = 0
    for block in blocks:  # a matrix product in bfloat16: the list of a vector need not be the very nearest one
        owners = _nearest(block, centres).numpy()
        vectors = (block if turn is None else block @ turn).contiguous().numpy()
        places = np.arange(start, start + len(block), dtype=np.int64)
        found.add_core(len(block), *map(faiss.swig_ptr, (vectors, places, owners)))
        start += len(block)
    if turn is None:
        found.nprobe = max(8, lists // 16)
        return found
    packed = faiss.IndexIVFPQFastScan(found)  # whose own add_core gives codes of something else
    found.own_fields, packed.own_fields = False, True  # of the centres
    packed.nprobe = min(lists, 64)
    before = faiss.LinearTransform(dim, dim, False)
    faiss.copy_array_to_vector(turn.mT.contiguous().numpy().ravel(), before.A)
    before.is_trained = True
    return faiss.IndexPreTransform(before, packed)


def _turned(rests: Float32[Tensor, "n d"], groups: int) -> Float32[Tensor, "d d"]:
    """Principal directions, dealt out to groups of equal size so that the products of their variances are about equal.

    Args:
        rests: what remains of vectors behind the centres of their lists.
        groups: a divisor of d.
    """
    variances, directions = torch.linalg.eigh(rests.mT @ rests / len(rests))
    logs = variances.clamp(min=1e-9 * float(variances.amax().clamp(min=1e-30))).log()
    logs, size = (logs - logs.amin()).flip(0).tolist(), rests.shape[1] // groups
    filled, members = [(0.0, group) for group in range(groups)], [list[int]() for _ in range(groups)]
    for place, log in enumerate(logs):
        total, group = heapq.heappop(filled)
        members[group].append(place)
        if len(members[group]) < size:
            heapq.heappush(filled, (total + log, group))
    return directions.flip(1)[:, [place for own in members for place in own]].contiguous()


LEARNT = 40
"""Vectors that each list of FAISS is learnt from; it asks for 39."""


def _faiss_kind(kind: str, candidates: int) -> Kind:
    return Kind(partial(_Faiss.build, kind), _Faiss.read, "faiss", candidates)


def _usearch_kind(dtype: str, candidates: int) -> Kind:
    return Kind(partial(_Usearch.build, dtype), _Usearch.read, "usearch", candidates)


KINDS = {
    "flat": _faiss_kind("flat", 1),
    "ivf": _faiss_kind("ivf", 1),
    "ivf-pq": _faiss_kind("ivf-pq", 10),
    "hnsw": _faiss_kind("hnsw", 1),
    "usearch-f16": _usearch_kind("f16", 2),
    "usearch-i8": _usearch_kind("i8", 4),
}
"""Exact; lists; lists of codes; a graph; a graph of vectors in half precision, and in int8."""


def _nearest(vectors: Float32[Tensor, "n d"], centres: Float32[Tensor, "k d"]) -> Int64[Tensor, " n"]:
    half = centres.bfloat16().mT
    return torch.cat([(some.bfloat16() @ half).argmax(1) for some in vectors.split(4096)])


def _faiss() -> Any:
    try:
        import faiss
    except ImportError:
        raise UsageError(
            "this search needs FAISS: pip install 'densevl[faiss]'; without it the search is exact"
        ) from None
    return faiss


def _usearch() -> Any:
    try:
        import usearch.index
    except ImportError:
        raise UsageError(
            "this search needs usearch: pip install 'densevl[usearch]'; without it the search is exact"
        ) from None
    return usearch.index
