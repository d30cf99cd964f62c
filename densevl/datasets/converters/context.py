"""PASCAL-Context: from the annotations of 459 categories to the 59 frequent ones.

Source: Mottaghi et al., CVPR 2014; ``trainval_merged.json`` of PASCAL in Detail holds the masks as run lengths. Masks
are drawn in the order of the file, later ones on top, as the toolkit of that data set does; what is none of the 59 is
background, 0.
"""

from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

from densevl.core.errors import UsageError
from densevl.core.files import atomic_write
from densevl.datasets.converters.coco import draw_instances, read_annotations
from densevl.datasets.converters.conversion import Task

__all__ = ["context_tasks"]

CATEGORIES = (
    *(2, 9, 18, 19, 22, 23, 25, 31, 33, 34, 44, 45, 46, 59, 65, 68, 72, 80, 85, 98, 104, 105, 113, 115, 144),
    *(158, 159, 162, 187, 189, 207, 220, 232, 258, 259, 260, 284, 295, 296, 308, 324, 326, 347, 349, 354),
    *(355, 360, 366, 368, 397, 415, 416, 420, 424, 427, 440, 445, 454, 458),
)
"""Category id of each class, in the order of the labels from 1."""


def context_tasks(root: Path, split: str = "val", annotations: Path | None = None) -> list[Task]:
    """Tasks for ``VOC2010/SegmentationClassContext/*.png``; the list of the split is written at once.

    Args:
        root: the folder ``VOCdevkit``, or ``VOC2010`` in it.
        split: ``"val"`` or ``"train"``.
        annotations: ``trainval_merged.json``; None looks for it in ``VOC2010``.

    Raises:
        UsageError: where the annotations are missing or have no image of the split.
    """
    voc = root if root.name == "VOC2010" else root / "VOC2010"
    data = read_annotations(annotations or voc / "trainval_merged.json", ("images", "annos_segmentation"))
    images = [image for image in data["images"] if image["phase"] == split]
    if not images:
        raise UsageError(f"the annotations have no image of the split {split!r}")
    of_image: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for annotation in data["annos_segmentation"]:
        of_image[annotation["image_id"]].append(annotation)
    with atomic_write(voc / "ImageSets" / "SegmentationContext" / f"{split}.txt") as temporary:
        temporary.write_text("".join(f"{name}\n" for name in sorted(Path(i["file_name"]).stem for i in images)))
    labels = {category: label for label, category in enumerate(CATEGORIES, start=1)}
    return [
        Task(
            voc / "SegmentationClassContext" / f"{Path(image['file_name']).stem}.png",
            partial(draw_instances, (image["height"], image["width"]), of_image[image["image_id"]], labels),
        )
        for image in images
    ]
