"""Proposals: the regions that an expression chooses from.

Convention: boxes are xyxy pixels of the image as given, half-open. In files, records of COCO (``bbox``) and ReCLIP's
lists by image are corner, width and height, as those formats are; a bare list of boxes is xyxy, unless the file says
``"form": "xywh"``.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from densevl.errors import UsageError
from densevl.regions import Regions
from densevl.structures import Size

__all__ = ["Proposals", "as_regions", "read_proposals"]

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
        return read_proposals(proposals, size, image_name)
    if isinstance(proposals, Tensor | np.ndarray) and proposals.ndim == 3:
        if proposals.dtype not in (torch.bool, np.bool_):
            raise UsageError(f"masks must be bool; got {proposals.dtype}; compare them with a threshold")
        if tuple(proposals.shape[1:]) != tuple(size):
            raise UsageError(f"the masks have size {tuple(proposals.shape[1:])}; the image has {tuple(size)}")
        return Regions.from_masks(proposals)
    return Regions.from_boxes(proposals, size)


def read_proposals(path: str | Path, size: Size, image_name: str | None = None) -> Regions:
    """The boxes of an image in a JSON file.

    The layouts: ``[[x0, y0, x1, y1], …]``; ``{"boxes": […], "form": "xyxy" or "xywh", "scores": […]}``; detection
    results of COCO ``[{"image_id", "bbox", "score"}, …]``; a data set of COCO ``{"images", "annotations"}``; and
    ReCLIP's ``{image_id: [[x, y, w, h], …]}``.

    Args:
        path: the file.
        size: (height, width) of the image.
        image_name: of the image. Not needed where the file has boxes of one image alone.

    Raises:
        UsageError: where the file is missing or of no such layout, does not tell which boxes are the image's, or the
            boxes do not fit.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"the file of boxes {path} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise UsageError(f"the file of boxes {path} is no JSON ({error})") from None
    try:
        boxes, form, scores = _boxes(content, image_name)
        return Regions.from_boxes(boxes, size, form=form, scores=scores)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} holds no boxes in a known layout ({type(error).__name__}: {error}); expected a list of "
            '[x0, y0, x1, y1], {"boxes": […]}, or COCO detections with image_id and bbox'
        ) from None


def _boxes(content: Any, image_name: str | None) -> tuple[list[Any], str, list[float] | None]:
    """Boxes, their form and their scores."""
    if isinstance(content, Mapping) and "boxes" in content:
        return content["boxes"], content.get("form", "xyxy"), content.get("scores")
    if isinstance(content, Mapping) and "annotations" in content:
        names = {image["id"]: image["file_name"] for image in content["images"]}
        records = _of_image(content["annotations"], image_name, names)
        return [record["bbox"] for record in records], "xywh", None
    if isinstance(content, Mapping):
        key = _choose(list(content), image_name, {})
        return content[key], "xywh", None
    if content and isinstance(content[0], Mapping):
        records = _of_image(content, image_name, {})
        scores = [record["score"] for record in records] if all("score" in record for record in records) else None
        return [record["bbox"] for record in records], "xywh", scores
    return content, "xyxy", None


def _of_image(
    records: Sequence[Mapping[str, Any]], image_name: str | None, names: Mapping[Any, str]
) -> list[Mapping[str, Any]]:
    key = _choose(list(dict.fromkeys([*names, *(record["image_id"] for record in records)])), image_name, names)
    return [record for record in records if record["image_id"] == key]


def _choose(keys: list[Any], image_name: str | None, names: Mapping[Any, str]) -> Any:
    """The key of the image among those of a file: by its file name, or by the number that the name ends in."""
    if len(keys) == 1:
        return keys[0]
    stem = Path(image_name).stem if image_name is not None else ""
    number = stem.rpartition("_")[2]
    for key in keys:
        name = names.get(key, str(key))
        if stem and (
            Path(name).stem == stem or (number.isdecimal() and str(key).isdecimal() and int(key) == int(number))
        ):
            return key
    raise UsageError(
        f"there are boxes of {len(keys)} images, and none is called {image_name!r}; "
        "give the boxes of this image alone, or an image of a name that is in the file"
    )
