"""Region annotations in the format of COCO: boxes of images, and which of several texts is true of each.

COCO and LVIS (boxes and categories) ask for one of all the names. Where an annotation has a ``phrase``, a ``text`` or a
``caption`` of its own, that counts in the place of its category. FG-OVD (Bianchi et al., The devil is in the
fine-grained details, CVPR 2024, https://arxiv.org/abs/2311.17518) gives every box a true caption, ``category_id``, and
hard negatives of its own, ``neg_category_ids``, which differ from it in an attribute or a few.

Convention: the files hold boxes as (x, y, width, height); here they are xyxy and half-open.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from densevl.core.errors import UsageError, first_line
from densevl.core.files import read_json
from densevl.core.geometry import Box
from densevl.core.masks import Rle, mask_of

__all__ = ["AnnotatedImage", "AnnotatedRegion", "RegionAnnotations", "find_image", "read_annotations"]


@dataclass(frozen=True)
class AnnotatedRegion:
    """A box and the texts to choose from.

    Attributes:
        box: x0, y0, x1, y1 in pixels of the image.
        truth: index of the true text.
        choices: indices of the texts to choose from, the true one among them; None for all.
        mask: of the region, of the image's size; None where it is not known or not read.
    """

    box: Box
    truth: int
    choices: tuple[int, ...] | None = None
    mask: Rle | None = None


@dataclass(frozen=True)
class AnnotatedImage:
    """An image and its regions.

    Attributes:
        file_name: of the image in the annotations, or its path.
        size: (height, width); None where it is not known.
        regions: in the order of the file.
        image_id: as in the file; None where there is none.
        group: that its scores count in; empty for none.
    """

    file_name: str
    size: tuple[int, int] | None
    regions: tuple[AnnotatedRegion, ...]
    image_id: int | str | None = None
    group: str = ""


@dataclass(frozen=True)
class RegionAnnotations:
    """Texts and images of an annotation file.

    Attributes:
        texts: class names or captions.
        images: those that have a region, or all, in the order of the file.
        skipped: how many annotations were left out, by reason.
        groups: indices of the texts of each named group: LVIS says how frequent a category is in its training images.
    """

    texts: tuple[str, ...]
    images: tuple[AnnotatedImage, ...]
    skipped: Mapping[str, int]
    groups: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of regions."""
        return sum(len(image.regions) for image in self.images)


def read_annotations(
    path: str | Path, negatives: int | None = None, bare: bool = False, masks: bool = False
) -> RegionAnnotations:
    """Read a file in the format of COCO, LVIS or FG-OVD.

    Crowds (``iscrowd``), boxes without area, boxes outside their image and, where regions have negatives, those with
    fewer than wanted are left out and counted.

    Args:
        path: the file.
        negatives: use only the first so many negatives of each region; None for all.
        bare: keep images without regions.
        masks: read the masks too; those that cannot be read count as unknown.

    Raises:
        UsageError: where the file is missing, has another format or no region to ask about.
    """
    path = Path(path)
    data = _load(path)
    try:
        return _annotations(path, data, negatives, bare, masks)
    except UsageError:
        raise
    except (TypeError, ValueError, KeyError, AttributeError, IndexError, OverflowError) as error:
        kind = f"{type(error).__name__}: {first_line(error)}"
        raise UsageError(f"{path} has an entry of another kind than COCO's ({kind}); check it") from error


def _annotations(
    path: Path, data: Mapping[str, Any], negatives: int | None, bare: bool, masks: bool
) -> RegionAnnotations:
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
            continue
        if masks:
            found = replace(found, mask=_mask(annotation, (image["height"], image["width"])))
        regions[annotation["image_id"]].append(found)
    images = tuple(
        AnnotatedImage(_file_name(image), (image["height"], image["width"]), tuple(regions[image_id]), image_id)
        for image_id, image in known.items()
        if bare or regions[image_id]
    )
    if not any(regions.values()):
        reasons = ", ".join(f"{count} {reason}" for reason, count in skipped.items()) or "none"
        raise UsageError(f"{path} has no region to ask about; left out: {reasons}")
    return RegionAnnotations(texts, images, dict(skipped), _groups(data["categories"]))


_NEEDED = {
    "images": ("id", "height", "width"),
    "annotations": ("image_id", "bbox", "category_id"),
    "categories": ("id", "name"),
}
"""Keys that are read of the entries of each list of a file."""


_PHRASES = ("phrase", "text", "caption")
"""Keys of an annotation for words of its own; the first that it has counts."""


def find_image(name: str, root: Path, folder: str) -> Path:
    """The file of an image, which may not be there; names may carry the folder that COCO keeps it in, or not."""
    file = Path(name)
    places = [root / folder / file, root / folder / file.name, root / file]
    return next((place for place in places if place.is_file()), places[0])


def _load(path: Path) -> dict[str, Any]:
    data = _phrases_as_categories(read_json(path))
    for name, keys in _NEEDED.items():
        entries = data.get(name) if isinstance(data, dict) else None
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise UsageError(f"{path} has no list {name!r}: expected the format of COCO's instances_val2017.json")
        wrong = next(((entry, key) for entry in entries for key in keys if key not in entry), None)
        if wrong is not None:
            raise UsageError(f"{path}: an entry of {name!r} has no {wrong[1]!r}: {str(wrong[0])[:120]}")
    return data


def _phrases_as_categories(data: Any) -> Any:
    """The same file with a category for each phrase, where annotations have phrases; of the others, those in use."""
    annotations = data.get("annotations") if isinstance(data, dict) else None
    if not isinstance(annotations, list) or not all(isinstance(annotation, dict) for annotation in annotations):
        return data
    phrases: dict[str, None] = {}
    for annotation in annotations:
        phrase = next((annotation[key] for key in _PHRASES if annotation.get(key)), None)
        if isinstance(phrase, str) and phrase.strip():
            annotation["category_id"] = phrase
            phrases[phrase] = None
    if not phrases:
        return data
    used = {annotation.get("category_id") for annotation in annotations}
    named = [category for category in data.get("categories", []) if category.get("id") in used]
    return {**data, "categories": [*named, *({"id": phrase, "name": phrase} for phrase in phrases)]}


FREQUENCIES = {"f": "frequent classes", "c": "common classes", "r": "rare classes"}
"""Groups of LVIS by its mark: in more than 100 training images, in 11 to 100, in 1 to 10."""


def _groups(categories: Sequence[Mapping[str, Any]]) -> dict[str, tuple[int, ...]]:
    marks = [category.get("frequency") for category in categories]
    return {
        name: tuple(index for index, found in enumerate(marks) if found == mark)
        for mark, name in FREQUENCIES.items()
        if mark in marks
    }


def _region(
    annotation: Mapping[str, Any], size: tuple[int, int], labels: Mapping[Any, int], negatives: int | None
) -> AnnotatedRegion | str:
    """The region of an annotation, or why it is left out."""
    if annotation.get("iscrowd"):
        return "crowds"
    try:
        left, top, width, height = map(float, annotation["bbox"])
    except (TypeError, ValueError):
        return "boxes that are not four numbers"
    box = (max(left, 0.0), max(top, 0.0), min(left + width, size[1]), min(top + height, size[0]))
    if not (box[0] < box[2] and box[1] < box[3]):
        return "empty boxes"
    ids = annotation.get("neg_category_ids")
    named = [annotation["category_id"], *(ids or [])[:negatives]]
    if any(identity not in labels for identity in named):
        return "of unlisted categories"
    if ids is None:
        return AnnotatedRegion(box, labels[named[0]])
    if not ids or (negatives is not None and len(ids) < negatives):
        return "with too few negatives"
    return AnnotatedRegion(box, labels[named[0]], tuple(labels[identity] for identity in named))


def _mask(annotation: Mapping[str, Any], size: tuple[int, int]) -> Rle | None:
    try:
        return mask_of(annotation.get("segmentation"), size)
    except (ValueError, KeyError, TypeError, IndexError):
        return None


def _text(name: str) -> str:
    """LVIS writes names of several words with underscores."""
    return " ".join(name.replace("_", " ").split())


def _file_name(image: Mapping[str, Any]) -> str:
    """LVIS names no file but the address, whose last two names are folder and file."""
    if "file_name" in image:
        return str(image["file_name"])
    if "coco_url" in image:
        return "/".join(str(image["coco_url"]).split("/")[-2:])
    raise UsageError(f"image {image['id']} has neither file_name nor coco_url")
