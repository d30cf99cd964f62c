"""Masks on disk: an image encoder takes seconds, and the masks of the same boxes are always the same.

One JSON file holds the masks of one image by one mask maker, as run-length codes by prompt (a box, a row of
points, everything), with a checksum. A file that cannot be used is treated as absent and written anew. Writers replace
a file whole, so that readers never see half of one; of two writers at the same time one may lose what it added, which
costs its recomputation.
"""

import hashlib
import json
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from densevl.core.errors import OutputError, UsageError
from densevl.core.files import atomic_write, parse_json
from densevl.core.geometry import Size
from densevl.core.masks import decode_masks, encode_masks
from densevl.core.regions import Regions
from densevl.core.registry import build
from densevl.regions.mask_makers import MASK_MAKERS
from densevl.regions.mask_makers.maker import (
    Boxes,
    MaskMaker,
    Picture,
    PreparedImage,
    as_prepared,
    checked_boxes,
    checked_points,
)
from densevl.weights import cache_dir

__all__ = ["CachedMasks"]

EVERYTHING = "everything"


@dataclass(eq=False)
class RememberedImage:
    """An image that is encoded when the first mask is missing, and not before."""

    given: PreparedImage
    maker: MaskMaker

    @cached_property
    def prepared(self) -> PreparedImage:
        """The image as the mask maker prepares it."""
        return self.maker.encode(self.given.image)

    @cached_property
    def digest(self) -> str:
        """Hash of the image's size and pixels."""
        size = "x".join(map(str, self.given.size))
        return hashlib.sha256(size.encode() + self.given.image.tobytes()).hexdigest()


class CachedMasks:
    """A mask maker that keeps what another one made.

    Args:
        maker: the other one, or its config.
        folder: where the masks lie; None for ``masks`` in densevl's cache.
    """

    def __init__(self, maker: Any, folder: str | Path | None = None):
        self.maker: MaskMaker = build(MASK_MAKERS, maker)
        self.folder = Path(folder).expanduser() if folder is not None else cache_dir() / "masks"
        self.name, self.model_id = self.maker.name, self.maker.model_id

    def to(self, device: str | torch.device | None = None, dtype: str | torch.dtype | None = None) -> "CachedMasks":
        """Move the mask maker inside."""
        self.maker.to(device, dtype)
        return self

    def encode(self, image: Picture) -> RememberedImage:
        """The image, which is encoded when a mask of it is missing."""
        if isinstance(image, RememberedImage):
            if image.maker is not self.maker:
                raise UsageError(f"the image was prepared by {image.maker.model_id}, not by {self.model_id}")
            return image
        given = as_prepared(image, self.model_id)
        remembered = RememberedImage(given, self.maker)
        if given.maps:
            remembered.prepared = given
        return remembered

    def from_boxes(self, image: Picture, boxes: Boxes) -> Bool[Tensor, "n H W"]:
        """One mask for each box; the mask maker makes those that are not kept yet.

        Raises:
            UsageError: as the mask maker inside.
        """
        remembered = self.encode(image)
        found = checked_boxes(boxes, remembered.given.size)
        keys = [f"box {box}" for box in found.tolist()]
        return self._masks(remembered, keys, lambda rows: self.maker.from_boxes(remembered.prepared, found[rows]))

    def from_points(self, image: Picture, points: Any, labels: Any | None = None) -> Bool[Tensor, "n H W"]:
        """One mask for each row of points; the mask maker makes those that are not kept yet.

        Raises:
            UsageError: as the mask maker inside.
        """
        remembered = self.encode(image)
        places, inside = checked_points(points, labels, remembered.given.size)
        keys = [f"points {row} {label}" for row, label in zip(places.tolist(), inside.tolist(), strict=True)]
        return self._masks(
            remembered, keys, lambda rows: self.maker.from_points(remembered.prepared, places[rows], inside[rows])
        )

    def everything(self, image: Picture) -> Regions:
        """Everything in the image, made where it is not kept yet.

        Raises:
            UsageError: as the mask maker inside.
        """
        remembered = self.encode(image)
        path, size = self.path(remembered), remembered.given.size
        kept = _read(path, size)
        if EVERYTHING not in kept:
            regions = self.maker.everything(remembered.prepared)
            codes = encode_masks(regions.masks) if regions.masks is not None else []
            scores = [] if regions.scores is None else regions.scores.tolist()
            kept[EVERYTHING] = {"counts": [code["counts"] for code in codes], "scores": scores}
            _write(path, size, kept)
        masks = _decoded(kept[EVERYTHING]["counts"], size)
        return Regions.from_masks(masks).with_scores(torch.tensor(kept[EVERYTHING]["scores"]))

    def path(self, image: Picture) -> Path:
        """The file of an image's masks."""
        maker = hashlib.sha256(self.model_id.encode()).hexdigest()[:12]
        name = re.sub(r"[^A-Za-z0-9.-]+", "_", self.model_id)[:40]
        digest = self.encode(image).digest
        return self.folder / f"{name}-{maker}" / digest[:2] / f"{digest}.json"

    def _masks(self, image: RememberedImage, keys: Sequence[str], make: Callable[[list[int]], Tensor]) -> Tensor:
        path, size = self.path(image), image.given.size
        kept = _read(path, size)
        rows = list({key: row for row, key in enumerate(keys) if key not in kept}.values())
        if rows:
            codes = encode_masks(make(rows))
            kept |= {keys[row]: code["counts"] for row, code in zip(rows, codes, strict=True)}
            _write(path, size, kept)
        return _decoded([kept[key] for key in keys], size)


def _decoded(counts: Sequence[str], size: Size) -> Tensor:
    return decode_masks([{"size": list(size), "counts": count} for count in counts], size)


def _read(path: Path, size: Size) -> dict[str, Any]:
    """The masks in a file; nothing where there is no usable file."""
    try:
        content = parse_json(path.read_bytes())
        if content["checksum"] != _checksum(content["masks"]) or content["size"] != list(size):
            return {}
        return content["masks"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _write(path: Path, size: Size, masks: dict[str, Any]) -> None:
    """Write a file; a folder that cannot be written to costs a warning and nothing else."""
    content = {"size": list(size), "masks": masks, "checksum": _checksum(masks)}
    try:
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(content), encoding="utf-8")
    except (OSError, OutputError) as error:
        warnings.warn(f"masks are not kept for the next time: {error}", stacklevel=2)


def _checksum(masks: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(masks, sort_keys=True).encode()).hexdigest()[:16]
