"""COCO's layout of annotations (https://cocodataset.org/#format-data), as tools that read COCO understand it.

Convention: ids of images, annotations and categories count from 1. The background is no category, so that ids of
categories run without a gap over the other classes in the order of their labels; ``label`` of a category is its value
in label maps. Boxes are x, y, width, height in pixels, polygons in the frame of pixel corners.
"""

from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from densevl.core.geometry import Size
from densevl.core.polygons import polygons_of
from densevl.core.segments import Segment
from densevl.core.vocabulary import Vocabulary

__all__ = ["annotation_of", "categories_of", "category_ids", "dataset_of", "image_of", "info_of"]


def category_ids(vocabulary: Vocabulary) -> dict[int, int]:
    """The id of the category of each label but that of the background."""
    labels = (label for label in range(len(vocabulary)) if label != vocabulary.background)
    return {label: number for number, label in enumerate(labels, 1)}


def categories_of(vocabulary: Vocabulary) -> list[dict[str, Any]]:
    """The categories of a vocabulary."""
    ids = category_ids(vocabulary)
    return [{"id": i, "name": vocabulary.names[label], "supercategory": "", "label": label} for label, i in ids.items()]


def info_of(vocabulary: Vocabulary) -> dict[str, Any]:
    """What made a data set; without a date, so that equal results are equal files."""
    return {"description": f"Predicted by densevl with the vocabulary {vocabulary.name}", "version": _number()}


@cache
def _number() -> str:
    """The version of densevl, which takes longer to look up than an image to write."""
    try:
        return version("densevl")
    except PackageNotFoundError:
        return "0+unknown"


def image_of(image_id: int, file_name: str, size: Size) -> dict[str, Any]:
    """The record of an image."""
    return {"id": image_id, "file_name": file_name, "height": size[0], "width": size[1]}


def annotation_of(
    segment: Segment, annotation_id: int, image_id: int, category_id: int, polygons: bool = False
) -> dict[str, Any]:
    """The record of a segment.

    Args:
        segment: one of an image.
        annotation_id: of the record.
        image_id: of the image.
        category_id: of the class.
        polygons: give polygons, of which each is a connected part of the segment within the bound of
            :data:`densevl.core.polygons.MIN_IOU`; without it, a run-length code, which is exact. A hole is joined to
            the outline round it by a cut of no width: a list of polygons cannot say otherwise that it is a hole.
    """
    segmentation: Any = dict(segment.mask)
    if polygons:
        segmentation = [p.ring().ravel().tolist() for p in polygons_of(*segment.crop())]
    return {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": category_id,
        "segmentation": segmentation,
        "bbox": list(segment.box),
        "area": segment.area,
        "iscrowd": 0,
        **({} if segment.score is None else {"score": segment.score}),
    }


def dataset_of(
    vocabulary: Vocabulary, image_id: int, file_name: str, size: Size, segments: Iterable[Segment], polygons: bool
) -> dict[str, Any]:
    """The data set of one image; see :func:`annotation_of`."""
    ids = category_ids(vocabulary)
    shown = [segment for segment in segments if segment.label in ids]
    return {
        "info": info_of(vocabulary),
        "licenses": [],
        "images": [image_of(image_id, file_name, size)],
        "annotations": [
            annotation_of(segment, number, image_id, ids[segment.label], polygons)
            for number, segment in enumerate(shown, 1)
        ],
        "categories": categories_of(vocabulary),
    }
