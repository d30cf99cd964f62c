"""COCO-Stuff and COCO-Object: from raw stuff and thing ids, or from instances, to the labels of the benchmarks.

The raw label maps (``stuffthingmaps_trainval2017``) hold the COCO category id minus one: 0..90 things, 91..181 stuff,
255 unlabelled. Of these, eleven things were never annotated, which leaves 80 things and 91 kinds of stuff.

* COCO-Stuff numbers the annotated ids 0..170; 255 is ignored.
* COCO-Object numbers the things 1..80; stuff and unlabelled pixels are background, 0. The published figures of
  open-vocabulary segmentation were computed on label maps made in this way from the raw ones (Xu et al., GroupViT,
  CVPR 2022). Where the raw ones are missing, the instances of COCO give the things too: masks are drawn in the order
  of the annotations, later ones on top, which reproduces the raw label maps.
"""

from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from pycocotools import mask as rle

from densevl.core.errors import UsageError
from densevl.core.files import read_json
from densevl.datasets.converters.conversion import Task, table, tasks_of_files

__all__ = ["coco_object_tasks", "coco_stuff_tasks", "draw_instances", "read_annotations"]

UNUSED = frozenset({11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90})
IDS = tuple(raw for raw in range(182) if raw not in UNUSED)
THINGS = tuple(raw for raw in IDS if raw <= 90)


def coco_stuff_tasks(root: Path, split: str = "val") -> list[Task]:
    """Tasks for ``annotations/<split>2017/*.png``; results stand beside them as ``*_labelTrainIds.png``.

    Raises:
        UsageError: where there are no raw label maps.
    """
    lookup = table({raw: label for label, raw in enumerate(IDS)}, default=255)
    return tasks_of_files(_raw(root, split), ".png", "_labelTrainIds.png", lookup, _where(root, split))


def coco_object_tasks(root: Path, split: str = "val", annotations: Path | None = None) -> list[Task]:
    """Tasks for ``annotations/<split>2017/*_instanceTrainIds.png``, from the raw label maps or from instances.

    Args:
        root: folder of ``annotations``.
        split: ``"val"`` or ``"train"``.
        annotations: ``instances_<split>2017.json`` of COCO; None for the raw label maps.

    Raises:
        UsageError: where there is nothing to convert.
    """
    if annotations is None:
        lookup = table({raw: label for label, raw in enumerate(THINGS, start=1)}, default=0)
        return tasks_of_files(_raw(root, split), ".png", "_instanceTrainIds.png", lookup, _where(root, split))
    labels = {raw + 1: label for label, raw in enumerate(THINGS, start=1)}
    data = read_annotations(annotations, ("images", "annotations"))
    of_image: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for annotation in data["annotations"]:
        of_image[annotation["image_id"]].append(annotation)
    folder = root / "annotations" / f"{split}2017"
    return [
        Task(
            folder / f"{Path(image['file_name']).stem}_instanceTrainIds.png",
            partial(draw_instances, (image["height"], image["width"]), of_image[image["id"]], labels),
        )
        for image in data["images"]
    ]


def draw_instances(
    size: tuple[int, int], annotations: list[dict[str, Any]], labels: dict[int, int]
) -> UInt8[np.ndarray, "H W"]:
    """Draw annotated masks in their order, each in the label of its category.

    Args:
        size: (height, width).
        annotations: with ``category_id`` and ``segmentation`` as polygons or run lengths.
        labels: of each category id; others stay background, 0.
    """
    result = np.zeros(size, np.uint8)
    for annotation in annotations:
        code = annotation["segmentation"]
        if isinstance(code, list):
            code = rle.merge(rle.frPyObjects(code, *size))
        elif isinstance(code["counts"], list):
            code = rle.frPyObjects(code, *size)
        result[rle.decode(code) > 0] = labels.get(annotation["category_id"], 0)
    return result


def read_annotations(path: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    """Read an annotation file.

    Raises:
        UsageError: where it is missing, not JSON, or of another kind.
    """
    data = read_json(path)
    if not isinstance(data, dict) or not set(keys) <= data.keys():
        raise UsageError(f"annotations {path} are of another kind: expected an object with {', '.join(keys)}")
    return data


def _raw(root: Path, split: str) -> list[Path]:
    files = (root / "annotations" / f"{split}2017").glob("*.png")
    return sorted(file for file in files if not file.stem.endswith("TrainIds"))


def _where(root: Path, split: str) -> str:
    return f"{root}/annotations/{split}2017/*.png (the raw label maps, stuffthingmaps_trainval2017)"
