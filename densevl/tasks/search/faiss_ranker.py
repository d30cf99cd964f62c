"""Search by FAISS (Douze et al., The Faiss library, 2024, https://arxiv.org/abs/2401.08281), for large indexes.

Its file lies beside the index and is only read where two hashes agree: that of the vectors that it was made of, and its
own, which were written with it. Otherwise it is made anew.
"""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float32
from torch import Tensor

from densevl.core.errors import UsageError, suggestion
from densevl.core.files import atomic_write, parse_json
from densevl.tasks.search.index import RegionIndex
from densevl.tasks.search.scan import exact_rows
from densevl.weights.download import file_sha256

__all__ = ["KINDS", "FaissRanker"]

KINDS = ("flat", "ivf", "hnsw")
"""Exact; lists of which the nearest are looked through; a graph that is walked."""

SAMPLED, NEAREST = 200, 10
"""Regions of the index whose nearest ones are searched to measure recall, and how many of these."""


class FaissRanker:
    """Ranks the regions of an index, as :data:`densevl.tasks.search.search.Ranker`.

    Args:
        index: what to rank.
        kind: one of :data:`KINDS`.
        path: of the index in files, beside which that of FAISS is kept; None keeps none.

    Attributes:
        recall: fraction of the 10 nearest regions that it finds, measured on 200 regions of the index when it was made.
        built: whether it was made just now, rather than read.

    Raises:
        UsageError: where FAISS is missing, the kind is unknown, or the index has no region.
        OutputError: where its file cannot be written.
    """

    def __init__(self, index: RegionIndex, kind: str = "flat", path: str | Path | None = None) -> None:
        if kind not in KINDS:
            raise UsageError(f"FAISS index {kind!r} is unknown; {suggestion(kind, KINDS)}")
        if len(index) == 0:
            raise UsageError("the index has no region, so there is nothing to search with FAISS")
        self._faiss = _import_faiss()
        self.index, self.kind = index, kind
        self._rows = index.live.nonzero().flatten()
        self._file = None
        if path is not None:
            place, name = Path(path), f"faiss-{kind}.index"
            self._file = place / name if place.is_dir() else place.with_name(f"{place.name}.{name}")
        read = self._read()
        self.built = read is None
        self._found, self.recall = self._build() if read is None else read

    def __call__(self, queries: Float32[Tensor, "q d"], most: int) -> list[tuple[Tensor, Tensor]]:
        """Scores and rows of the best regions of each query, the best first."""
        scores, places = self._found.search(queries.numpy(), min(most, len(self._rows)))
        found = []
        for one, where in zip(torch.from_numpy(scores), torch.from_numpy(places), strict=True):
            there = where >= 0
            found.append((one[there], self._rows[where[there]]))
        return found

    @property
    def fingerprint(self) -> str:
        """Hash of the vectors that count and of the model that made them."""
        digest = hashlib.sha256(self.index.live.numpy().tobytes())
        for part in self.index.parts:
            digest.update((part.digest or part.compute_digest()).encode())
        return digest.hexdigest()

    def _read(self) -> tuple[Any, float] | None:
        """The kept index, where it is that of these vectors and has not been touched."""
        if self._file is None:
            return None
        try:
            note = parse_json(_note_beside(self._file).read_text(encoding="utf-8"))
            if note["vectors"] != self.fingerprint or note["sha256"] != file_sha256(self._file):
                return None
            return self._faiss.read_index(str(self._file)), float(note["recall"])
        except (OSError, ValueError, KeyError, TypeError, RuntimeError):
            return None

    def _build(self) -> tuple[Any, float]:
        vectors = self.index.vectors.contiguous()
        count, dim = vectors.shape
        faiss, product = self._faiss, self._faiss.METRIC_INNER_PRODUCT
        if self.kind == "hnsw":
            found = faiss.IndexHNSWFlat(dim, 32, product)
            found.hnsw.efConstruction, found.hnsw.efSearch = 80, 128
        elif self.kind == "ivf":
            lists = max(1, min(round(4 * math.sqrt(count)), count // 39))  # it wants 39 vectors to learn each from
            found = faiss.IndexIVFFlat(faiss.IndexFlatIP(dim), dim, lists, product)
            found.nprobe = max(8, lists // 16)
            found.train(vectors.numpy())
        else:
            found = faiss.IndexFlatIP(dim)
        found.add(vectors.numpy())
        recall = self._measured(found, vectors)
        if self._file is not None:
            with atomic_write(self._file) as temporary:
                faiss.write_index(found, str(temporary))
            note = {"vectors": self.fingerprint, "sha256": file_sha256(self._file), "recall": recall}
            with atomic_write(_note_beside(self._file)) as temporary:
                temporary.write_text(json.dumps(note), encoding="utf-8")
        return found, recall

    def _measured(self, found: Any, vectors: Float32[Tensor, "n d"]) -> float:
        """Fraction of the truly nearest regions that it finds."""
        draw = torch.randperm(len(vectors), generator=torch.Generator().manual_seed(0))[:SAMPLED]
        nearest = min(NEAREST, len(vectors))
        _, places = found.search(vectors[draw].numpy(), nearest)
        exact = exact_rows(self.index, vectors[draw], nearest)
        pairs = zip(places, exact, strict=True)
        hits = sum(len({int(self._rows[i]) for i in own if i >= 0} & set(rows.tolist())) for own, (_, rows) in pairs)
        return hits / (nearest * len(draw))


def _import_faiss() -> Any:
    try:
        import faiss
    except ImportError:
        raise UsageError(
            "this search needs FAISS: pip install 'densevl[faiss]'; without it the search is exact"
        ) from None
    return faiss


def _note_beside(file: Path) -> Path:
    return file.with_name(f"{file.name}.json")
