"""Search in many regions: time, memory, size and recall of the exact scan and of each approximate index.

Vectors are made, in clusters, and drawn from a seed a part at a time, so that any number of them can be written. A
region is a point of one of 20,000 concepts, which stand in 100 topics. Concepts are as unequal as words: the n-th is
drawn with a weight of 1 / (n + 50). All lie in a cone, as the vectors of CLIP do. The standard deviation of the i-th
direction falls as i^-0.5, so that 512 numbers have some 28 effective directions. Two regions of one concept have a
cosine of about 0.86, of one topic 0.70, and any two 0.46.

Queries of two kinds: *examples* are regions that are not in the index; *texts* are the middle of a concept moved by a
constant, so that they lie apart from all regions, as the texts of CLIP do: at a cosine of 0.23 on average, and of 0.45
to the nearest.
"""

import math
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float32
from torch import Tensor
from tqdm import tqdm

from densevl.benchmarks.speed.cost import status
from densevl.core.errors import UsageError
from densevl.core.features import TextVectors
from densevl.metrics.table import Table
from densevl.tasks.search import IndexedImage, Part, RegionIndex, search
from densevl.tasks.search.approximate_ranker import ApproximateRanker, check_kind
from densevl.tasks.search.files import part_files, write_part
from densevl.tasks.search.stores import check_store

__all__ = ["benchmark_search", "made_queries", "write_made_index"]

DIM, TOPICS, CONCEPTS, PART, AN_IMAGE = 512, 100, 20_000, 65536, 10
QUERIES, TOP, REPEATED = 100, 10, 20
MODEL = "made@1"
Result = TypeVar("Result")
_Ask = Callable[[Tensor], list[list[int]]]
"""From queries to the rows that a search finds for each."""

FLAT = "faiss-flat"
"""Name of the exact index of FAISS by itself, of vectors in float32."""


def benchmark_search(
    regions: str = "100000",
    indices: Sequence[str] = ("exact", "ivf-pq"),
    store: str = "int8",
    out: str | None = None,
) -> Table:
    """Time, memory, size and recall of a search, for numbers of regions and kinds of index.

    Args:
        regions: numbers of regions with commas between, such as ``100000,1000000``.
        indices: ``exact``; ``faiss-flat``, which is FAISS by itself, in turn with the exact search; and kinds of
            :data:`densevl.tasks.search.neighbour_indexes.KINDS`.
        store: of the vectors.
        out: where the indexes are kept and found again; None for a folder that is deleted at the end.

    Raises:
        UsageError: where a number, a kind or a store is unknown, or a library is missing.
        OutputError: where a file cannot be written.
    """
    try:
        counts = [int(count) for count in regions.split(",")]
    except ValueError:
        counts = [0]
    if min(counts) < 1:
        raise UsageError(f"write numbers of regions as 100000,1000000; got {regions!r}")
    check_store(store)
    for kind in indices:
        if kind not in ("exact", FLAT):
            check_kind(kind)
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        for count in counts:
            folder = Path(out or temporary) / f"{count}-{store}"
            write_made_index(folder, count, store)
            truth = _apart(_searched, folder, "exact")
            for kind in indices:
                built = math.nan if kind in ("exact", FLAT) else _apart(_built, folder, kind)
                found = truth if kind == "exact" else _apart(_searched, folder, kind)
                rows.append((f"{count:,} {kind}", found.figures(truth, built)))
                print(rows[-1], file=sys.stderr, flush=True)
    head = (
        "regions, index",
        "built in s",
        "file, GB",
        "memory, GB",
        "files mapped, GB",
        "ms at 1",
        "queries/s at 100",
        "recall@10 examples",
        "recall@10 texts",
        "exact by this at 1",
        "exact by this at 100",
    )
    note = (
        f"Made vectors of {DIM} numbers kept as {store}; {QUERIES} queries of each kind, top {TOP}; medians; "
        f"{torch.get_num_threads()} threads; recall in percent of what the exact search finds. Memory is that of a "
        "fresh process behind its searches, apart from pages of files, which the system takes back when it needs them. "
        f"The last columns are the processor time of the exact search by that of {FLAT}, a query of each in turn."
    )
    return Table(head, rows, note)


@dataclass(frozen=True)
class _Found:
    """What a process found and took: rows, seconds, bytes; the time of the exact search as a multiple of its own."""

    examples: list[list[int]]
    texts: list[list[int]]
    one: float
    many: float
    file: float
    memory: float
    mapped: float
    exact_one: float
    exact_many: float

    def figures(self, truth: "_Found", built: float) -> list[float]:
        return [
            built,
            self.file / 1e9,
            self.memory / 1e9,
            self.mapped / 1e9,
            1e3 * self.one,
            QUERIES / self.many,
            100 * _recall(self.examples, truth.examples),
            100 * _recall(self.texts, truth.texts),
            self.exact_one,
            self.exact_many,
        ]


def write_made_index(folder: Path, count: int, store: str) -> None:
    """Write the parts of an index that are not there yet.

    Args:
        folder: of the index.
        count: number of regions.
        store: of the vectors.

    Raises:
        OutputError: where a part cannot be written.
    """
    starts = range(0, count, PART)
    for place, start in enumerate(tqdm(starts, desc="vectors", unit=" parts", delay=2, disable=None)):
        path = folder / f"part-{place:05}.safetensors"
        if not path.exists():
            write_part(_made_part(place, min(PART, count - start)), path, store)
    if len(part_files(folder)) != len(starts):
        raise UsageError(f"{folder} holds another index; name another folder or delete it")


def _made_part(place: int, count: int) -> Part:
    draw = torch.Generator().manual_seed(place)
    vectors = _regions(count, draw)
    corners = (torch.rand(count, 2, generator=draw) * 400).round()
    boxes = torch.cat([corners, corners + (torch.rand(count, 2, generator=draw) * 79).round() + 1], 1)
    images = [IndexedImage(f"/made/{place}/{row}.jpg", (480, 480)) for row in range(math.ceil(count / AN_IMAGE))]
    scores = torch.rand(count, generator=draw)
    return Part(tuple(images), torch.arange(count) // AN_IMAGE, boxes, scores, vectors, MODEL, {"name": MODEL})


def _spectrum() -> Float32[Tensor, " d"]:
    falling = torch.arange(1, DIM + 1).float() ** -0.5
    return falling / falling.norm()


def _concepts() -> Float32[Tensor, "c d"]:
    """The middles of the concepts."""
    draw = torch.Generator().manual_seed(2**31)
    cone = F.normalize(torch.randn(DIM, generator=draw), dim=0)
    topics, own = (torch.randn(count, DIM, generator=draw) * _spectrum() for count in (TOPICS, CONCEPTS))
    return 0.67 * cone + 0.45 * topics[torch.arange(CONCEPTS) % TOPICS] + 0.45 * own


def _drawn(count: int, draw: torch.Generator) -> Tensor:
    """Concepts by their weights."""
    return torch.multinomial(1 / (torch.arange(CONCEPTS) + 50.0), count, replacement=True, generator=draw)


def _regions(count: int, draw: torch.Generator) -> Float32[Tensor, "n d"]:
    own = torch.randn(count, DIM, generator=draw) * _spectrum()
    return F.normalize(_concepts()[_drawn(count, draw)] + 0.39 * own, dim=1)


def made_queries(seed: int = 0) -> tuple[Float32[Tensor, "q d"], Float32[Tensor, "q d"]]:
    """Examples and texts; figures are those of seed 0, and settings were chosen on seeds of 100 and more."""
    draw = torch.Generator().manual_seed(2**32 + seed)
    examples = _regions(QUERIES, draw)
    apart = F.normalize(torch.randn(DIM, generator=draw), dim=0)
    return examples, F.normalize(_concepts()[_drawn(QUERIES, draw)] + 1.5 * apart, dim=1)


def _built(folder: Path, kind: str) -> float:
    """Seconds in which the index of a kind was built; not a number where it was there."""
    start = time.perf_counter()
    built = ApproximateRanker(RegionIndex.open(folder), kind, folder).built
    return time.perf_counter() - start if built else math.nan


def _searched(folder: Path, kind: str) -> _Found:
    """Searches of an index; of :data:`FLAT` in turn with the exact search."""
    index = RegionIndex.open(folder)
    if kind == FLAT:
        return _measured(_flat(index), partial(_rows, index, None), float(4 * len(index) * index.dim))
    ranker = None if kind == "exact" else ApproximateRanker(index, kind, folder)
    files = part_files(folder) if kind == "exact" else [*folder.glob(f"*{kind}.index")]
    return _measured(partial(_rows, index, ranker), None, float(sum(path.stat().st_size for path in files)))


def _measured(ask: _Ask, other: _Ask | None, size: float) -> _Found:
    """What a search finds and takes, and what another one takes, a query by itself in turn with it."""
    examples, texts = made_queries()
    many, ones, rows = [], [], []
    for asked in (examples, texts, examples):  # the first time is a warm-up, like the first of those below
        many.append(_times(ask, other, asked))
        rows.append(ask(asked))
    for place in range(REPEATED + 1):
        ones.append(_times(ask, other, examples[place : place + 1]))
    (one, *at_one), (hundred, *at_hundred) = (
        map(statistics.median, zip(*own[1:], strict=True)) for own in (ones, many)
    )
    beside = (times[1] / times[0] for times in (at_one, at_hundred))
    return _Found(rows[0], rows[1], one, hundred, size, *_memory(), *beside)


def _times(ask: _Ask, other: _Ask | None, queries: Tensor) -> tuple[float, float, float]:
    """Seconds and processor seconds of a search, and processor seconds of another one behind it, where there is one."""
    clock, processor = time.perf_counter(), time.process_time()
    ask(queries)
    clock, middle = time.perf_counter() - clock, time.process_time()
    if other is not None:
        other(queries)
    return clock, middle - processor, time.process_time() - middle if other is not None else math.nan


def _rows(index: RegionIndex, ranker: ApproximateRanker | None, queries: Tensor) -> list[list[int]]:
    asked = TextVectors(queries, ("",) * len(queries), MODEL)
    return [[hit.row for hit in own] for own in search(index, asked, TOP, overlap=None, ranker=ranker)]


def _flat(index: RegionIndex) -> _Ask:
    """The exact index of FAISS itself, with as many threads as ours."""
    import faiss

    faiss.omp_set_num_threads(torch.get_num_threads())
    found = faiss.IndexFlatIP(index.dim)
    found.add(index.vectors.numpy())
    return lambda queries: found.search(queries.numpy(), TOP)[1].tolist()


def _memory() -> tuple[float, float]:
    """Bytes of this process that are its own, and those of files that are mapped into it."""
    return status("RssAnon"), status("RssFile")


def _recall(found: list[list[int]], truth: list[list[int]]) -> float:
    pairs = zip(found, truth, strict=True)
    return sum(len(set(own) & set(right)) for own, right in pairs) / sum(map(len, truth))


def _apart(function: Callable[..., Result], *arguments: Any) -> Result:
    """What a function gives in a fresh process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()
