"""A part of an index: the regions of some images with their vectors, in memory or in a file.

Convention: boxes are xyxy pixels of the image as given, half-open; sizes are (height, width).
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.core.geometry import Size
from densevl.core.masks import encode_masks
from densevl.core.regions import RegionEmbeddings, Regions
from densevl.tasks.search.stores import Stored, Vectors, check_store, coded, encoded, store_of

__all__ = ["Codes", "IndexedImage", "Part", "Vectors", "check_vectors"]

UNIT = 1e-2
"""How far from 1 the length of a vector may be: those of half precision are."""


@runtime_checkable
class Codes(Protocol):
    """One run-length code a region, empty where it has no mask, read when it is needed."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> str: ...


@dataclass(frozen=True)
class IndexedImage:
    """An image whose regions are in an index.

    Attributes:
        path: where it is, absolute, or its address, or another name; files name it relative to themselves where it
            lies near (see :mod:`densevl.tasks.search.image_paths`).
        size: (height, width).
        state: bytes of its file when it was embedded, and the beginning of the hash of its content as a number; in
            earlier indexes the time of its last change. Empty where it is no file.
    """

    path: str
    size: Size
    state: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Part:
    """The regions of some images with their vectors.

    Attributes:
        images: in the order in which they were embedded; an image may have no region. A tuple, or the table of a file.
        image_rows: place in ``images`` of the image of each region.
        boxes: of the regions.
        scores: of the proposals; NaN where their maker gave none.
        vectors: one unit vector a region, as a store keeps it.
        model_id: identity of the model that made them.
        model: what loads it, and what decided its vectors, as JSON values.
        masks: run-length codes of the regions; None where masks were not kept.
        digest: what :meth:`compute_digest` gave when the file was written; empty in memory.
        file: path, number, bytes and time of change of the file when it was opened; empty in memory.
    """

    images: Sequence[IndexedImage]
    image_rows: Int64[Tensor, " n"]
    boxes: Float32[Tensor, "n 4"]
    scores: Float32[Tensor, " n"]
    vectors: Vectors
    model_id: str
    model: Mapping[str, Any] = field(default_factory=dict)
    masks: Codes | None = None
    digest: str = ""
    file: tuple[str | int, ...] = ()

    def __len__(self) -> int:
        return len(self.boxes)

    @classmethod
    def of(
        cls,
        images: Sequence[IndexedImage],
        regions: Sequence[Regions],
        embeddings: Sequence[RegionEmbeddings],
        model: Mapping[str, Any] | None = None,
        masks: bool = True,
    ) -> "Part":
        """The part of some images, in memory.

        Args:
            images: one or more.
            regions: of each of them, perhaps none.
            embeddings: of these.
            model: see the class.
            masks: whether to keep the masks of regions that have some.

        Raises:
            UsageError: where lengths, models or sizes disagree, or a vector is not finite or no unit vector.
        """
        ids = {embedded.model_id for embedded in embeddings}
        if len(ids) != 1:
            raise UsageError(f"an index holds vectors of one model; got {', '.join(sorted(ids)) or 'none'}")
        for image, found, embedded in zip(images, regions, embeddings, strict=True):
            if tuple(found.size) != tuple(image.size) or len(found) != len(embedded):
                raise UsageError(
                    f"{image.path}: expected one vector for each of {len(found)} regions of an image of {image.size}; "
                    f"got {len(embedded)} and regions of an image of {found.size}"
                )
            check_vectors(embedded.vectors, image.path)
        image_rows = [torch.full((len(found),), place, dtype=torch.int64) for place, found in enumerate(regions)]
        unknown = [torch.full((len(found),), torch.nan) if found.scores is None else found.scores for found in regions]
        return cls(
            tuple(images),
            torch.cat(image_rows),
            torch.cat([found.boxes.cpu().float() for found in regions]),
            torch.cat([scores.cpu().float() for scores in unknown]),
            torch.cat([embedded.vectors.cpu().float() for embedded in embeddings]),
            ids.pop(),
            dict(model or {}),
            tuple(code for found in regions for code in _codes(found)) if masks else None,
        )

    def compute_digest(self) -> str:
        """Hash of the vectors, as they are kept, and of the model's identity."""
        found = hashlib.sha256(self.model_id.encode())
        for start in range(0, len(self), 65536):
            for some in coded(self.vectors, slice(start, start + 65536)):
                if some is not None:
                    found.update(some.contiguous().numpy().data)
        return found.hexdigest()

    def kept_as(self, store: str) -> "Part":
        """The part with its vectors as a store keeps them; see :mod:`densevl.tasks.search.stores`.

        Raises:
            UsageError: where the store is unknown.
        """
        check_store(store)
        if store == store_of(self.vectors):
            return self
        return replace(self, vectors=Stored(*encoded(self.vectors[0 : len(self)], store)), digest="", file=())


def check_vectors(vectors: Float[Tensor, "n d"], path: str) -> None:
    """Refuse vectors that nothing can be compared with.

    Raises:
        UsageError: where one is not finite or no unit vector; the message begins with the path.
    """
    for reason, wrong in (
        ("is not finite", ~vectors.isfinite().all(1)),
        ("is no unit vector", (vectors.float().norm(dim=1) - 1).abs() > UNIT),
    ):
        if wrong.any():
            raise UsageError(
                f"{path}: the vector of region {int(wrong.nonzero()[0])} {reason}, so it cannot be compared "
                f"({int(wrong.sum())} of {len(vectors)}); look at the weights of the model and its dtype"
            )


def _codes(regions: Regions) -> list[str]:
    if regions.masks is None or len(regions) == 0:
        return [""] * len(regions)
    return [code["counts"] for code in encode_masks(regions.masks)]
