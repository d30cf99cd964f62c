"""Parquet in the layout of the data sets ``jxu124/refcoco``, ``…plus`` and ``…g``: a ref a row.

``raw_anns`` is the object's annotation and ``raw_image_info`` the image's record, both of COCO's and as JSON text; the
column ``bbox`` is xyxy already and is not needed. What they call the split ``test`` of RefCOCO and RefCOCO+ is testA.
There are no other objects of the image in them, so that there are no true boxes to choose from unless the instances are
given too.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from densevl.core.errors import UsageError
from densevl.core.files import parse_json
from densevl.datasets.referring.annotations import ReferredImage, ReferringData
from densevl.datasets.referring.collection import Collection, Source, identity
from densevl.datasets.referring.importers.instances import Instances
from densevl.datasets.referring.importers.official import plain_file_name

__all__ = ["import_parquet"]

COLUMNS = ("ann_id", "file_name", "image_id", "raw_anns", "raw_image_info", "ref_id", "sentences", "split")


def import_parquet(source: Source) -> ReferringData:
    """Read one file, or all files of a folder.

    Raises:
        UsageError: where pyarrow is not installed, or a file is missing or of another layout.
    """
    instances = Instances.read(source.instances) if source.instances else None
    collection = Collection(source, "parquet")
    files = sorted(source.path.rglob("*.parquet")) if source.path.is_dir() else [source.path]
    for file in files:
        for index, row in enumerate(_rows(file)):
            with collection.record(index, "jxu124/refcoco", file):
                _add(collection, row, source, instances)
    return collection.finished()


def _add(collection: Collection, row: Mapping[str, Any], source: Source, instances: Instances | None) -> None:
    annotation, record = parse_json(row["raw_anns"]), parse_json(row["raw_image_info"])
    image_id = identity(row["image_id"])
    image = ReferredImage(
        image_id,
        plain_file_name(record.get("file_name") or row["file_name"]),
        "testA" if row["split"] == "test" and "testA" in source.benchmark.splits else row["split"],
        (int(record["height"]), int(record["width"])),
        {"true": instances.boxes(image_id)} if instances else {},
    )
    sentences = [sentence.get("sent") or sentence["raw"] for sentence in row["sentences"]]
    collection.add(image, row["ref_id"], row["ann_id"], annotation["bbox"], sentences, annotation.get("segmentation"))


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError(f"{path}: reading parquet needs pyarrow; install it with `pip install pyarrow`") from error
    try:
        table = pyarrow.parquet.read_table(path, columns=list(COLUMNS))
    except (OSError, pyarrow.ArrowException, KeyError) as error:
        raise UsageError(f"{path} has no columns {', '.join(COLUMNS)}, or is no parquet file ({error})") from None
    if missing := set(COLUMNS) - set(table.column_names):
        raise UsageError(f"{path} has no column {', '.join(sorted(missing))}; expected the layout of jxu124/refcoco")
    return table.to_pylist()
