"""The JSON lines of ReCLIP (Subramanian et al., ACL 2022): a ref a line, with the boxes of all objects of its image.

They tell neither the split, which is in the file's name, nor the size of the image, nor a mask: for masks give the
instances too. Detections are in a file of their own, see :mod:`densevl.datasets.referring.detections`. The sentences
are the raw ones in lower case, as ReCLIP's evaluation reads them.
"""

from collections.abc import Iterator
from typing import Any

from densevl.core.errors import UsageError
from densevl.core.files import parse_json
from densevl.datasets.referring.annotations import ReferredImage, ReferringData
from densevl.datasets.referring.collection import Collection, Source, boxes_of, identity
from densevl.datasets.referring.importers.instances import Instances
from densevl.datasets.referring.importers.official import plain_file_name

__all__ = ["import_reclip"]


def import_reclip(source: Source) -> ReferringData:
    """Read the JSON lines of one split.

    Raises:
        UsageError: where the file is missing or of another layout, or nothing tells the split.
    """
    split = source.only_split
    instances = Instances.read(source.instances) if source.instances else None
    collection = Collection(source, "reclip")
    for index, line in _lines(source):
        with collection.record(index, "ReCLIP's JSON lines"):
            image_id, objects = identity(line["image_id"]), {identity(ann["id"]): ann for ann in line["anns"]}
            own = (line["height"], line["width"]) if {"height", "width"} <= line.keys() else None
            size = instances.size(image_id) if instances else own
            image = ReferredImage(
                image_id,
                plain_file_name(line["file_name"]),
                split,
                size,
                {"true": boxes_of(line["anns"])},
            )
            target = objects.get(identity(line["ann_id"]))
            if target is None:
                collection.skipped["refs whose object is not in the line"] += 1
                continue
            known = instances.annotations.get(identity(line["ann_id"]), {}) if instances else target
            sentences = [str(sentence["raw"]).lower() for sentence in line["sentences"]]
            ref_id = line.get("ref_id", line["ann_id"])
            collection.add(image, ref_id, line["ann_id"], target["bbox"], sentences, known.get("segmentation"))
    return collection.finished()


def _lines(source: Source) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        text = source.path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{source.path} cannot be read: {error}") from None
    for index, line in enumerate(text.splitlines()):
        try:
            if line.strip():
                yield index, parse_json(line)
        except ValueError as error:
            raise UsageError(f"{source.path}, line {index + 1}: no JSON ({error})") from None
