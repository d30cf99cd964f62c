"""Region annotations in the format of COCO: boxes of images, and which of several texts is true of each.

COCO and LVIS (boxes and categories) ask for one of all the names; FG-OVD (Bianchi et al., The devil is in the
fine-grained details, CVPR 2024, https://arxiv.org/abs/2311.17518) gives every box a true caption, ``category_id``, and
hard negatives of its own, ``neg_category_ids``, which differ from it in an attribute or a few.

Convention: the files hold boxes as (x, y, width, height); here they are xyxy and half-open.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from densevl.errors import UsageError

__all__ = ["AnnotatedImage", "AnnotatedRegion", "RegionAnnotations", "read_annotations"]

Box = tuple[int | float, int | float, int | float, int | float]


@dataclass(frozen=True)
class AnnotatedRegion:
    """A box and the texts that it is asked about.

    Attributes:
        box: x0, y0, x1, y1 in pixels of the image.
        truth: index of the true text.
        choices: indices of the texts to choose from, the true one among them; None for all.
    """

    box: Box
    truth: int
    choices: tuple[int, ...] | None = None


@dataclass(frozen=True)
class AnnotatedImage:
    """An image by the name that its file has in the annotations, and its regions."""

    file_name: str
    size: tuple[int, int]
    regions: tuple[AnnotatedRegion, ...]


@dataclass(frozen=True)
class RegionAnnotations:
    """What an annotation file holds.

    Attributes:
        texts: class names or captions.
        images: those that have a region, in the order of the file.
        skipped: how many annotations were left out, by reason.
    """

    texts: tuple[str, ...]
    images: tuple[AnnotatedImage, ...]
    skipped: Mapping[str, int]

    def __len__(self) -> int:
        """Number of regions."""
        return sum(len(image.regions) for image in self.images)


def read_annotations(path: str | Path, negatives: int | None = None) -> RegionAnnotations:
    """Read a file in the format of COCO, LVIS or FG-OVD.

    Crowds (``iscrowd``), boxes without area, boxes outside their image and, where regions have negatives, those with
    fewer than asked for are left out and counted.

    Args:
        path: the file.
        negatives: use only the first so many negatives of each region; None for all.

    Raises:
        UsageError: where the file is missing, has another format or no region to ask about.
    """
    path = Path(path)
    data = _load(path)
    labels = {category["id"]: index for index, category in enumerate(data["categories"])}
    texts = tuple(_text(category["name"]) for category in data["categories"])
    known = {image["id"]: image for image in data["images"]}
    regions: dict[Any, list[AnnotatedRegion]] = {image_id: [] for image_id in known}
    skipped: Counter[str] = Counter()
    for annotation in data["annotations"]:
        image = known.get(annotation["image_id"])
        if image is None:
            raise UsageError(f"{path}: an annotation is of image {annotation['image_id']}, which is not listed")
        found = _region(annotation, (image["height"], image["width"]), labels, negatives)
        if isinstance(found, str):
            skipped[found] += 1
        else:
            regions[annotation["image_id"]].append(found)
    images = tuple(
        AnnotatedImage(_file_name(image), (image["height"], image["width"]), tuple(regions[image_id]))
        for image_id, image in known.items()
        if regions[image_id]
    )
    if not images:
        reasons = ", ".join(f"{count} {reason}" for reason, count in skipped.items()) or "none"
        raise UsageError(f"{path} has no region to ask about; left out: {reasons}")
    return RegionAnnotations(texts, images, dict(skipped))


_NEEDED = {
    "images": ("id", "height", "width"),
    "annotations": ("image_id", "bbox", "category_id"),
    "categories": ("id", "name"),
}
"""What is read of each part of a file."""


def _load(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UsageError(f"there is no annotation file {path}")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UsageError(f"{path} is not JSON: {error}") from None
    for part, keys in _NEEDED.items():
        entries = data.get(part) if isinstance(data, dict) else None
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise UsageError(f"{path} has no list {part!r}: expected the format of COCO's instances_val2017.json")
        wrong = next(((entry, key) for entry in entries for key in keys if key not in entry), None)
        if wrong is not None:
            raise UsageError(f"{path}: an entry of {part!r} has no {wrong[1]!r}: {str(wrong[0])[:120]}")
    return data


def _region(
    annotation: Mapping[str, Any], size: tuple[int, int], labels: Mapping[Any, int], negatives: int | None
) -> AnnotatedRegion | str:
    """The region of an annotation, or why it is left out."""
    if annotation.get("iscrowd"):
        return "crowds"
    left, top, width, height = annotation["bbox"]
    box = (max(left, 0.0), max(top, 0.0), min(left + width, size[1]), min(top + height, size[0]))
    if not (box[0] < box[2] and box[1] < box[3]):
        return "empty boxes"
    ids = annotation.get("neg_category_ids")
    asked = [annotation["category_id"], *(ids or [])[:negatives]]
    if any(identity not in labels for identity in asked):
        return "of unlisted categories"
    if ids is None:
        return AnnotatedRegion(box, labels[asked[0]])
    if not ids or (negatives is not None and len(ids) < negatives):
        return "with too few negatives"
    return AnnotatedRegion(box, labels[asked[0]], tuple(labels[identity] for identity in asked))


def _text(name: str) -> str:
    """LVIS writes names of several words with underscores."""
    return " ".join(name.replace("_", " ").split())


def _file_name(image: Mapping[str, Any]) -> str:
    """LVIS names no file but the address, whose last two parts are folder and file."""
    if "file_name" in image:
        return str(image["file_name"])
    if "coco_url" in image:
        return "/".join(str(image["coco_url"]).split("/")[-2:])
    raise UsageError(f"image {image['id']} has neither file_name nor coco_url")
