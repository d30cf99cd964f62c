"""The official files: ``refs(unc).p``, ``refs(umd).p`` or ``refs(google).p`` beside ``instances.json``.

The file names in the refs carry the number of the ref (``COCO_train2014_000000581857_16.jpg``), so that the image's own
name is taken from the instances. The sentences are the cleaned ones (``sent``), as the official evaluation reads them.
"""

import re
from pathlib import Path

from densevl.core.errors import UsageError
from densevl.datasets.referring.annotations import ReferredImage, ReferringData
from densevl.datasets.referring.collection import Collection, Source, identity
from densevl.datasets.referring.importers.instances import Instances
from densevl.datasets.referring.pickles import read_plain_pickle

__all__ = ["import_official", "plain_file_name", "splits_by_of_path"]


def splits_by_of_path(path: Path) -> str | None:
    """Who split the refs: ``unc`` of ``refs(unc).p``."""
    match = re.fullmatch(r"refs\((\w+)\)\.(?:p|pkl|pickle)", path.name)
    return match[1] if match else None


def plain_file_name(name: str) -> str:
    """The name of the image's file, without the number that refs append to it."""
    return re.sub(r"(_\d{12})_\d+(\.\w+)$", r"\1\2", name)


def import_official(source: Source) -> ReferringData:
    """Read the official pickle, by a reader that runs nothing.

    Raises:
        UsageError: where a file is missing, unsafe or of another layout.
    """
    instances = Instances.read(source.instances or source.path.with_name("instances.json"))
    refs = read_plain_pickle(source.path)
    if not isinstance(refs, list):
        raise UsageError(f"{source.path} holds a {type(refs).__name__}; expected a list of refs")
    collection = Collection(source, "official")
    collection.skipped.update(instances.duplicates)
    for index, ref in enumerate(refs):
        with collection.record(index, "the official refs"):
            image_id, annotation = identity(ref["image_id"]), instances.annotations.get(identity(ref["ann_id"]))
            record = instances.images.get(image_id, {})
            image = ReferredImage(
                image_id,
                record.get("file_name") or plain_file_name(ref["file_name"]),
                str(ref["split"]),
                instances.size(image_id),
                {"true": instances.boxes(image_id)},
            )
            sentences = [sentence.get("sent") or sentence["raw"] for sentence in ref["sentences"]]
            if annotation is None or identity(annotation["image_id"]) != image_id:
                collection.skipped["refs whose object is not in the instances"] += 1
                continue
            segmentation = annotation.get("segmentation")
            collection.add(image, ref["ref_id"], ref["ann_id"], annotation["bbox"], sentences, segmentation)
    return collection.finished()
