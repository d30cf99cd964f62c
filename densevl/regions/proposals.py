"""Proposals: the regions that an expression chooses from.

Convention: boxes are xyxy pixels of the image as given, half-open. In files, records of COCO (``bbox``) and ReCLIP's
lists by image are corner, width and height, as those formats are; a bare list of boxes is xyxy, unless the file says
``"form": "xywh"``.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from densevl.core.errors import UsageError
from densevl.core.files import read_json
from densevl.core.geometry import Size
from densevl.core.regions import Regions

__all__ = ["ProposalFile", "Proposals", "as_regions", "grid_regions"]

GRID = (1, 2, 4)
"""Pieces into which the sides of an image are cut, for each size of the boxes of a grid."""

Proposals = Regions | Tensor | np.ndarray | Sequence[Any] | str | Path
"""Regions; boxes "n 4" (xyxy) as a list, an array or a tensor; bool masks "n H W"; or a file of boxes."""


def as_regions(proposals: Proposals, size: Size, image_name: str | None = None) -> Regions:
    """Proposals in any form as regions of an image.

    Args:
        proposals: see :data:`Proposals`.
        size: (height, width) of the image.
        image_name: of the image, to be looked up in a file that has boxes of several.

    Raises:
        UsageError: where they do not fit the image, or the file cannot be used.
    """
    if isinstance(proposals, Regions):
        if tuple(proposals.size) != tuple(size):
            raise UsageError(f"the regions are of an image of size {proposals.size}; this one has {tuple(size)}")
        return proposals
    if isinstance(proposals, str | Path):
        return ProposalFile(proposals).regions(size, image_name)
    if isinstance(proposals, Tensor | np.ndarray) and proposals.ndim == 3:
        if proposals.dtype not in (torch.bool, np.bool_):
            raise UsageError(f"masks must be bool; got {proposals.dtype}; compare them with a threshold")
        if tuple(proposals.shape[1:]) != tuple(size):
            raise UsageError(f"the masks have size {tuple(proposals.shape[1:])}; the image has {tuple(size)}")
        return Regions.from_masks(proposals)
    return Regions.from_boxes(proposals, size)


def grid_regions(size: Size) -> Regions:
    """Boxes of three sizes that cover an image: all of it, halves and quarters of its sides, half a box apart.

    Args:
        size: (height, width) of the image.
    """
    boxes = []
    for pieces in GRID:
        steps = torch.arange(2 * pieces - 1) / 2
        y, x = (at.flatten() for at in torch.meshgrid(steps, steps, indexing="ij"))
        boxes.append(torch.stack([x, y, x + 1, y + 1], dim=1) / pieces)
    height, width = size
    found = (torch.cat(boxes) * torch.tensor([width, height, width, height])).round()
    return Regions(found[(found[:, 2:] > found[:, :2]).all(1)], size)


class ProposalFile:
    """The boxes of one or many images in a JSON file, which is read once.

    The layouts: ``[[x0, y0, x1, y1], …]``; ``{"boxes": […], "form": "xyxy" or "xywh", "scores": […]}``; detection
    results of COCO ``[{"image_id", "bbox", "score"}, …]``; a data set of COCO ``{"images", "annotations"}``; and
    ReCLIP's ``{image_id: [[x, y, w, h], …]}``. The first two do not say of which image, so they are those of any.

    Args:
        path: the file.
        named: whether boxes of a single image are only those of an image of its name; without it, of any.

    Raises:
        UsageError: where the file is missing or of no such layout.
    """

    def __init__(self, path: str | Path, named: bool = False) -> None:
        self.path, self._named = Path(path), named
        content = read_json(path)
        self._bare: tuple[Any, str, Any] | None = None
        self._records: dict[Any, list[Any]] = {}
        self._names: dict[Any, str] = {}
        with self._layout_checked():
            self._sort(content)
        self._keys, self._places = list(self._records), _places(self._records, self._names)

    def regions(self, size: Size, image_name: str | None = None) -> Regions:
        """The boxes of an image.

        Args:
            size: (height, width) of the image.
            image_name: of the image. Not needed where the file has boxes of one image alone.

        Raises:
            UsageError: where the file does not say which boxes are the image's, or they do not fit.
        """
        with self._layout_checked():
            try:
                boxes, form, scores = self._bare or self._boxes(image_name)
                return Regions.from_boxes(boxes, size, form=form, scores=scores)
            except UsageError as error:
                raise UsageError(f"{self.path}: {error}") from None

    def _sort(self, content: Any) -> None:
        """The records of each image, or boxes that do not say of which."""
        if isinstance(content, Mapping) and "boxes" in content:
            self._bare = content["boxes"], content.get("form", "xyxy"), content.get("scores")
        elif isinstance(content, Mapping) and "annotations" in content:
            self._names = {image["id"]: image["file_name"] for image in content["images"]}
            self._records = {key: [] for key in self._names}
            self._gather(content["annotations"])
        elif isinstance(content, Mapping):
            self._records = {key: list(boxes) for key, boxes in content.items()}
        elif content and isinstance(content[0], Mapping):
            self._gather(content)
        else:
            self._bare = content, "xyxy", None

    def _gather(self, records: Sequence[Mapping[str, Any]]) -> None:
        for record in records:
            self._records.setdefault(record["image_id"], []).append(record)

    def _boxes(self, image_name: str | None) -> tuple[list[Any], str, list[float] | None]:
        """Boxes, their form and their scores."""
        found = self._records[self._key(image_name)]
        if not found or not isinstance(found[0], Mapping):
            return found, "xywh", None
        scored = not self._names and all("score" in record for record in found)
        scores = [record["score"] for record in found] if scored else None
        return [record["bbox"] for record in found], "xywh", scores

    def _key(self, image_name: str | None) -> Any:
        """The key of the image among those of the file: by its file name, or by the number that the name ends in."""
        if len(self._records) == 1 and not self._named:
            return next(iter(self._records))
        stem = Path(image_name).stem if image_name is not None else ""
        number = stem.rpartition("_")[2]
        names = [stem, int(number) if number.isdecimal() else stem] if stem else []
        places = [self._places[name] for name in names if name in self._places]
        if not places:
            raise UsageError(
                f"there are boxes of {len(self._records)} images, and none is called {image_name!r}; "
                "give the boxes of this image alone, or an image of a name that is in the file"
            )
        return self._keys[min(places)]

    @contextmanager
    def _layout_checked(self) -> Iterator[None]:
        try:
            yield
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            if isinstance(error, UsageError):
                raise
            raise UsageError(
                f"{self.path} holds no boxes in a known layout ({type(error).__name__}: {error}); expected a list of "
                '[x0, y0, x1, y1], {"boxes": […]}, or COCO detections with image_id and bbox'
            ) from None


def _places(keys: Iterable[Any], names: Mapping[Any, str]) -> dict[str | int, int]:
    """The place of each key by the stem of its name and, where it is a number, by that; the first one counts."""
    places: dict[str | int, int] = {}
    for place, key in enumerate(keys):
        places.setdefault(Path(names.get(key, str(key))).stem, place)
        if str(key).isdecimal():
            places.setdefault(int(key), place)
    return places
