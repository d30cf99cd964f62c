"""An index: the regions of many images as unit vectors of one model, with where each of them lies."""

import math
from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Bool, Float32
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.core.features import TextVectors
from densevl.core.regions import RegionEmbeddings, Regions
from densevl.tasks.search.files import open_parts, write_part
from densevl.tasks.search.image_table import ImageTable
from densevl.tasks.search.part import IndexedImage, Part
from densevl.tasks.search.search import Hit, search

__all__ = ["RegionIndex"]


@dataclass(frozen=True, eq=False)
class RegionIndex:
    """Regions of many images, one unit vector each; their rows are numbered through all parts.

    An image that several parts hold counts once, as the last of them has it: so an index grows, and images that have
    changed are embedded anew, without a file being written twice.

    Attributes:
        parts: the files of the index, or what is in memory; all of one model.
        chosen: which rows may count; None for all.
        path: of the folder or the file that was opened; None in memory.

    Raises:
        UsageError: where there is no part, or the parts were made by different models.
    """

    parts: tuple[Part, ...]
    chosen: Bool[Tensor, " n"] | None = None
    path: Path | None = None

    def __post_init__(self) -> None:
        if not self.parts:
            raise UsageError("an index has at least one part; embed some images first")
        for part in self.parts[1:]:
            if (part.model_id, part.vectors.shape[1]) != (self.model_id, self.dim):
                raise UsageError(
                    f"parts of this index were made by {self.model_id!r} ({self.dim} numbers a vector) and by "
                    f"{part.model_id!r} ({part.vectors.shape[1]}); embed all images with one model"
                )

    def __len__(self) -> int:
        """Number of the regions that count."""
        return int(self.live.sum())

    @classmethod
    def of(
        cls,
        paths: Sequence[str | Path],
        regions: Sequence[Regions],
        embeddings: Sequence[RegionEmbeddings],
        model: Mapping[str, Any] | None = None,
    ) -> "RegionIndex":
        """An index in memory.

        Args:
            paths: of the images, or other names.
            regions: of each image, perhaps none.
            embeddings: of these, as ``model.embed`` gives them.
            model: what loads the model, such as ``{"name": "mini"}``; for those who open a saved index.

        Raises:
            UsageError: where lengths or models disagree, or a vector is not finite or no unit vector.
        """
        images = [
            IndexedImage(str(path), (found.size[0], found.size[1])) for path, found in zip(paths, regions, strict=True)
        ]
        return cls((Part.of(images, regions, embeddings, model),))

    @classmethod
    def open(cls, path: str | Path) -> "RegionIndex":
        """An index of a folder that ``densevl embed`` wrote, or of one file; its vectors are read when needed.

        Raises:
            UsageError: where there is no index, or a file of it is damaged, or was made by another model than the rest.
        """
        return cls(tuple(open_parts(path)), path=Path(path))

    def refreshed(self) -> "RegionIndex":
        """The index as its files are now, or this one where they are what they were.

        What was opened stays open and is not read again. This index stays what it was, so that a search that runs
        meanwhile sees one state of the index, and never half of a part.

        Raises:
            UsageError: where it was not opened from files or has a filter, or the files are none of an index any more.
        """
        if self.path is None or self.chosen is not None:
            raise UsageError(
                "only a whole index that was opened from files can be refreshed; refresh that, and filter what comes"
            )
        parts = tuple(open_parts(self.path, self.parts))
        return self if parts == self.parts else replace(self, parts=parts)

    def save(self, path: str | Path, store: str = "float32") -> None:
        """Write the regions that count as one file, ``.safetensors`` or ``.parquet``.

        Args:
            path: of the file.
            store: of the vectors: ``float32``, ``float16`` or ``int8``; see :mod:`densevl.tasks.search.stores`.

        Raises:
            OutputError: where the file cannot be written.
            UsageError: where the suffix or the store is another, or an extra for it is missing.
        """
        write_part(self.merged(), path, store)

    @property
    def model_id(self) -> str:
        """Identity of the model that made the vectors."""
        return self.parts[0].model_id

    @property
    def model(self) -> Mapping[str, Any]:
        """Settings that load that model, and settings that decided its vectors."""
        return self.parts[-1].model

    @property
    def dim(self) -> int:
        """Numbers of a vector."""
        return int(self.parts[0].vectors.shape[1])

    @cached_property
    def live(self) -> Bool[Tensor, " n"]:
        """True for each row that counts."""
        latest = _latest(self.parts)
        return latest if self.chosen is None else latest & self.chosen

    @cached_property
    def starts(self) -> list[int]:
        """The first row of each part."""
        return [0, *accumulate(len(part) for part in self.parts)][:-1]

    @property
    def image_count(self) -> int:
        """Number of the images, those without regions too; quicker than to ask for all of them."""
        return len(np.unique(np.concatenate([_hashes(part) for part in self.parts])))

    def image_of(self, path: str) -> tuple[IndexedImage, Part] | None:
        """The image at a path, as the last part that holds it has it, and that part; None where no part has it."""
        hashes, order = self._by_hash
        wanted = hash(path)
        for row in order[np.searchsorted(hashes, wanted) : np.searchsorted(hashes, wanted, "right")][::-1].tolist():
            place = bisect_right(self._image_starts, row) - 1
            image = self.parts[place].images[row - self._image_starts[place]]
            if image.path == path:
                return image, self.parts[place]
        return None

    @cached_property
    def _by_hash(self) -> tuple[np.ndarray, np.ndarray]:
        """The hashes of the paths of all images in their order, and the row of each among the images of all parts."""
        hashes = np.concatenate([_hashes(part) for part in self.parts])
        order = np.argsort(hashes, kind="stable")
        return hashes[order], order

    @cached_property
    def _image_starts(self) -> list[int]:
        return [0, *accumulate(len(part.images) for part in self.parts)][:-1]

    @cached_property
    def images(self) -> dict[str, IndexedImage]:
        """The images by their paths, those without regions too."""
        return {image.path: image for part in self.parts for image in part.images}

    @property
    def vectors(self) -> Float32[Tensor, "n d"]:
        """The vectors of all regions that count, in memory."""
        vectors = torch.cat([part.vectors[0 : len(part)] for part in self.parts])
        return vectors[self.live]

    def search(
        self,
        queries: TextVectors | RegionEmbeddings,
        top: int = 20,
        per_image: int | None = None,
        overlap: float | None = 0.5,
    ) -> list[list[Hit]]:
        """The regions nearest to each query; see :func:`densevl.tasks.search.search.search`."""
        return search(self, queries, top, per_image, overlap)

    def only(self, paths: Collection[str]) -> "RegionIndex":
        """The regions of some images alone."""
        wanted = set(paths)
        chosen = [torch.tensor([image.path in wanted for image in part.images] + [False]) for part in self.parts]
        inside = torch.cat([some[part.image_rows] for some, part in zip(chosen, self.parts, strict=True)])
        return replace(self, chosen=inside & self.live)

    def hit(self, row: int, score: float) -> Hit:
        """The region of a row as a hit with this score."""
        place = bisect_right(self.starts, row) - 1
        part, row_of_part = self.parts[place], row - self.starts[place]
        x0, y0, x1, y1 = part.boxes[row_of_part].tolist()
        proposal = float(part.scores[row_of_part])
        return Hit(
            score,
            part.images[int(part.image_rows[row_of_part])],
            (x0, y0, x1, y1),
            None if math.isnan(proposal) else proposal,
            "" if part.masks is None else part.masks[row_of_part],
            row,
        )

    def merged(self) -> Part:
        """The regions that count as one part in memory."""
        images = list(self.images.values())
        places = {image.path: place for place, image in enumerate(images)}
        rows = self.live.split([len(part) for part in self.parts])
        image_rows, codes = [], []
        for part, kept in zip(self.parts, rows, strict=True):
            of_part = torch.tensor([places[image.path] for image in part.images] + [0])
            image_rows.append(of_part[part.image_rows[kept]])
            wanted = kept.nonzero().flatten().tolist()
            codes += [part.masks[row] if part.masks is not None else "" for row in wanted]
        return Part(
            tuple(images),
            torch.cat(image_rows),
            torch.cat([part.boxes[kept] for part, kept in zip(self.parts, rows, strict=True)]),
            torch.cat([part.scores[kept] for part, kept in zip(self.parts, rows, strict=True)]),
            self.vectors,
            self.model_id,
            self.model,
            tuple(codes) if any(codes) else None,
        )


def _latest(parts: Sequence[Part]) -> Bool[Tensor, " n"]:
    """The rows of the last part that holds each image.

    Paths are compared where their hashes are equal, so that no path of a large index is kept.
    """
    counted = [torch.ones(len(part.images) + 1, dtype=torch.bool) for part in parts]
    hashes = np.concatenate([_hashes(part) for part in parts])
    _, inverse, uses = np.unique(hashes, return_inverse=True, return_counts=True)
    twice = (uses[inverse] > 1).nonzero()[0]
    starts = np.cumsum([0, *(len(part.images) for part in parts)])
    places = np.searchsorted(starts, twice, side="right") - 1
    found = [(int(place), int(row)) for place, row in zip(places, twice - starts[places], strict=True)]
    last = {parts[place].images[row].path: place for place, row in found}
    for place, row in found:
        counted[place][row] = last[parts[place].images[row].path] == place
    return torch.cat([current[part.image_rows] for current, part in zip(counted, parts, strict=True)])


_KNOWN: WeakKeyDictionary[Part, np.ndarray] = WeakKeyDictionary()
"""Hashes of the parts that are open, which a refreshed index has again."""


def _hashes(part: Part) -> np.ndarray:
    """A number of 64 bits for the path of each image."""
    if part not in _KNOWN:
        paths = part.images.paths() if isinstance(part.images, ImageTable) else (image.path for image in part.images)
        _KNOWN[part] = np.fromiter(map(hash, paths), np.int64, len(part.images))
    return _KNOWN[part]
