"""Approximate search: a file beside the index names candidates, and the vectors of the index rank them.

The index stays what is true. The file of neighbours covers the parts that there were when it was built, told by the
digests of their vectors: parts that came later are searched exactly, and rows that count no more are passed over. Where
it covers less than half of the regions, or was touched, it is made anew; it is written whole or not at all.

A search never misses silently what a filter leaves: candidates are asked for in proportion to what was left out, and
where fewer come than are wanted, or few regions count at all, these are searched exactly.
"""

import hashlib
import json
import math
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Bool, Float32
from torch import Tensor
from tqdm import tqdm

from densevl.core.errors import UsageError, suggestion
from densevl.core.files import atomic_write, parse_json
from densevl.tasks.search.index import RegionIndex
from densevl.tasks.search.neighbour_indexes import KINDS, NeighbourIndex
from densevl.tasks.search.part import Part
from densevl.tasks.search.scan import best_rows, exact_rows, rescored, vectors_at
from densevl.weights.download import file_sha256

__all__ = ["ApproximateRanker", "check_kind"]

SAMPLED, NEAREST, MORE = 200, 10, 4
"""Regions of the index whose nearest ones are searched to measure recall, how many of these, and how many are ranked
for each, as a search does."""

FEW, SHARE = 20_000, 0.1
"""Number of regions, and share of those that the file covers, below which what counts is searched exactly."""

BLOCK = 65536
"""Vectors that are added together."""

Covered = list[tuple[str, int]]
"""Digest of the vectors and number of the regions of each part."""


class ApproximateRanker:
    """Ranks the regions of an index, as :data:`densevl.tasks.search.search.Ranker`.

    Args:
        index: what to rank.
        kind: one of :data:`densevl.tasks.search.neighbour_indexes.KINDS`.
        path: of the index in files, beside which that of the neighbours is kept; None keeps none.
        anew: build it even where there is one.

    Attributes:
        recall: fraction of the 10 nearest regions that it finds, measured on 200 regions of the index when it was made.
        built: whether it was made just now, rather than read.
        newer: number of regions that the file does not cover, which are searched exactly.

    Raises:
        UsageError: where the library is missing, the kind is unknown, or the index has no region.
        OutputError: where its file cannot be written.
    """

    def __init__(
        self, index: RegionIndex, kind: str = "flat", path: str | Path | None = None, anew: bool = False
    ) -> None:
        check_kind(kind)
        if len(index) == 0:
            raise UsageError("the index has no region, so there is nothing to search with an approximate index")
        self.index, self.kind, self._kind = index, kind, KINDS[kind]
        self._file = None
        if path is not None:
            name = f"{kind if kind.startswith(self._kind.library) else f'{self._kind.library}-{kind}'}.index"
            place = Path(path)
            self._file = place / name if place.is_dir() else place.with_name(f"{place.name}.{name}")
        read = None if anew else self._read()
        self.built = read is None
        self._found, self._covered, self.recall = read or (self._build(), _covered(index.parts), math.nan)
        self._take()
        if self.built:
            self.recall = self._measured()
            self._write()

    def on(self, index: RegionIndex) -> "ApproximateRanker":
        """The same neighbours for the index as it has become, or with another filter; nothing is read anew."""
        other = copy(self)
        other.index = index
        other._take()
        return other

    def __call__(self, queries: Float32[Tensor, "q d"], most: int) -> list[tuple[Tensor, Tensor]]:
        """Scores and rows of the best regions of each query, the best first."""
        index, old = self.index, self._old
        share = self._count / max(1, len(self._rows))
        if self.kind != "flat" and (share < SHARE or (self._count < FEW and share < 1)):
            return exact_rows(index, queries, most)
        wanted = min(most, self._count)
        asked = min(len(self._rows), math.ceil(self._kind.candidates * most / max(share, SHARE)))
        rows = self._rows[self._found.search(queries, asked)]
        rows[~old.live[rows]] = -1
        candidates = [own[own >= 0] for own in rows]
        found = rescored(index, queries, candidates, most)
        if short := [place for place, own in enumerate(candidates) if len(own) < wanted]:
            for place, again in zip(short, exact_rows(old, queries[short], most), strict=True):
                found[place] = again
        if not self.newer:
            return found
        pairs = zip(found, exact_rows(self._newer, queries, most), strict=True)
        return [best_rows(torch.cat([a[0], b[0]]), torch.cat([a[1], b[1]]), most) for a, b in pairs]

    def _take(self) -> None:
        """Find the parts that are covered among those of the index."""
        places: dict[tuple[str, int], list[int]] = {}
        for one, start in zip(_covered(self.index.parts), self.index.starts, strict=True):
            places.setdefault(one, []).append(start)
        rows = [torch.full((1,), -1)]
        in_file = torch.zeros(len(self.index.live), dtype=torch.bool)
        for one in self._covered:
            starts = places.get(one)
            rows.append(torch.full((one[1],), -1) if not starts else torch.arange(one[1]) + starts.pop(0))
        self._rows = torch.cat([*rows[1:], rows[0]])  # a place of -1, which stands for none, is the last
        in_file[self._rows[self._rows >= 0]] = True
        live = self.index.live
        self._old, self._newer = (_Chosen(self.index.parts, live & which) for which in (in_file, ~in_file))
        self._count, self.newer = (int(some.live.sum()) for some in (self._old, self._newer))

    def _read(self) -> tuple[NeighbourIndex, Covered, float] | None:
        """The kept neighbours, where they cover half of the regions and have not been touched."""
        if self._file is None:
            return None
        try:
            note = parse_json(_note_beside(self._file).read_text(encoding="utf-8"))
            covered = [(str(digest), int(count)) for digest, count in note["parts"]]
            own = set(_covered(self.index.parts))
            known = sum(count for digest, count in covered if (digest, count) in own)
            if note["vectors"] != _fingerprint(covered) or 2 * known < len(self.index.live):
                return None
            if note["sha256"] != file_sha256(self._file):
                return None
            return self._kind.read(self._file), covered, float(note["recall"])
        except (OSError, ValueError, KeyError, TypeError, RuntimeError):
            return None

    def _build(self) -> NeighbourIndex:
        count, dim = len(self.index.live), self.index.dim
        return self._kind.build(count, dim, self._sample, self._blocks())

    def _sample(self, count: int) -> Float32[Tensor, "m d"]:
        total = len(self.index.live)
        draw = torch.randperm(total, generator=torch.Generator().manual_seed(0))[:count]
        return vectors_at(self.index, draw.sort().values)

    def _blocks(self) -> Iterator[Tensor]:
        total = len(self.index.live)
        with tqdm(total=total, desc=f"neighbours ({self.kind})", unit=" regions", delay=2, disable=None) as bar:
            for part in self.index.parts:
                for start in range(0, len(part), BLOCK):
                    yield part.vectors[start : start + BLOCK].contiguous()
                    bar.update(min(BLOCK, len(part) - start))

    def _write(self) -> None:
        if self._file is None:
            return
        with atomic_write(self._file) as temporary:
            self._found.save(temporary)
        note = {
            "vectors": _fingerprint(self._covered),
            "sha256": file_sha256(self._file),
            "recall": self.recall,
            "parts": self._covered,
        }
        with atomic_write(_note_beside(self._file)) as temporary:
            temporary.write_text(json.dumps(note), encoding="utf-8")

    def _measured(self) -> float:
        """Fraction of the truly nearest regions that it finds."""
        whole = replace(self.index, chosen=None)
        draw = torch.randperm(len(whole.live), generator=torch.Generator().manual_seed(0))[:SAMPLED].sort().values
        queries, nearest = vectors_at(whole, draw), min(NEAREST, len(whole))
        pairs = zip(self.on(whole)(queries, MORE * nearest), exact_rows(whole, queries, nearest), strict=True)
        hits = sum(len(set(own[:nearest].tolist()) & set(rows.tolist())) for (_, own), (_, rows) in pairs)
        return hits / (nearest * len(draw))


@dataclass(frozen=True, eq=False)
class _Chosen:
    """Some rows of an index."""

    parts: tuple[Part, ...]
    live: Bool[Tensor, " n"]


def check_kind(kind: str) -> None:
    """Refuse a kind that there is not.

    Raises:
        UsageError: where its name is unknown.
    """
    if kind not in KINDS:
        raise UsageError(f"approximate index {kind!r} is unknown; {suggestion(kind, KINDS)}")


def _covered(parts: tuple[Part, ...]) -> Covered:
    return [(part.digest or part.compute_digest(), len(part)) for part in parts]


def _fingerprint(covered: Covered) -> str:
    return hashlib.sha256(json.dumps(covered).encode()).hexdigest()


def _note_beside(file: Path) -> Path:
    return file.with_name(f"{file.name}.json")
