"""The files of MDETR (Kamath et al., ICCV 2021): COCO's format with one "image" an expression, its ``caption``.

Expressions of one image are brought together by ``original_id``. The files hold the object that is meant and no
other, so that there are no true boxes to choose from unless the instances are given too.
"""

from typing import Any

from densevl.core.errors import UsageError
from densevl.core.files import read_json
from densevl.datasets.referring.annotations import ReferredImage, ReferringData
from densevl.datasets.referring.collection import Collection, Source, identity
from densevl.datasets.referring.importers.instances import Instances
from densevl.datasets.referring.importers.official import plain_file_name

__all__ = ["import_mdetr"]


def import_mdetr(source: Source) -> ReferringData:
    """Read the file of one split.

    Raises:
        UsageError: where the file is missing or of another layout, or nothing tells the split.
    """
    split = source.only_split
    content = read_json(source.path)
    if not isinstance(content, dict) or not all(isinstance(content.get(n), list) for n in ("images", "annotations")):
        raise UsageError(f"{source.path} has no lists `images` and `annotations`; expected the layout of MDETR's files")
    collection = Collection(source, "mdetr")
    targets = _targets(source, collection, content)
    instances = Instances.read(source.instances) if source.instances else None
    found: dict[tuple[Any, Any], tuple[ReferredImage, dict[str, Any], list[str]]] = {}
    for index, record in enumerate(content["images"]):
        with collection.record(index, "MDETR's files"):
            target = targets.pop(record["id"], None)
            if target is None:
                collection.skipped["expressions without an object, or listed twice"] += 1
                continue
            image_id = identity(record.get("original_id", record["id"]))
            image = ReferredImage(
                image_id,
                plain_file_name(record["file_name"]),
                split,
                (int(record["height"]), int(record["width"])),
                {"true": instances.boxes(image_id)} if instances else {},
            )
            ann_id = identity(target.get("original_id", target["id"]))
            found.setdefault((image_id, ann_id), (image, target, []))[2].append(record["caption"])
    for (_, ann_id), (image, target, sentences) in found.items():
        collection.add(image, ann_id, ann_id, target["bbox"], sentences, target.get("segmentation"))
    return collection.finished()


def _targets(source: Source, collection: Collection, content: dict[str, Any]) -> dict[Any, dict[str, Any]]:
    """The object of each expression; the first where there are several."""
    targets: dict[Any, dict[str, Any]] = {}
    for index, annotation in enumerate(content["annotations"]):
        with collection.record(index, "MDETR's files"):
            annotation["bbox"], annotation["id"]
            if targets.setdefault(annotation["image_id"], annotation) is not annotation:
                collection.skipped["further objects of an expression"] += 1
    return targets
