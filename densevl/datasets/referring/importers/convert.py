"""Choosing an importer by a file's look, finding the annotations in a folder, and converting them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from densevl.core.errors import UsageError, suggestion
from densevl.datasets.referring.annotations import ReferringData, is_annotations, read_annotations, write_annotations
from densevl.datasets.referring.collection import Source
from densevl.datasets.referring.detections import read_detections
from densevl.datasets.referring.importers.mdetr import import_mdetr
from densevl.datasets.referring.importers.official import import_official, splits_by_of_path
from densevl.datasets.referring.importers.parquet import import_parquet
from densevl.datasets.referring.importers.reclip import import_reclip
from densevl.datasets.referring.splits import Benchmark, benchmark, benchmark_of_path, split_of_path

__all__ = ["FORMATS", "convert_refer", "find_annotations", "import_refer"]

FORMATS: dict[str, Callable[[Source], ReferringData]] = {
    "official": import_official,
    "reclip": import_reclip,
    "mdetr": import_mdetr,
    "parquet": import_parquet,
}
"""Importers by the name of what they read."""
_SUFFIXES = {".p": "official", ".pkl": "official", ".pickle": "official", ".jsonl": "reclip", ".json": "mdetr"}


def import_refer(
    source: str | Path,
    format: str | None = None,
    dataset: str | None = None,
    splits_by: str | None = None,
    split: str | None = None,
    instances: str | Path | None = None,
) -> ReferringData:
    """Read referring expressions of any format.

    Args:
        source: a file, or for parquet a folder of them.
        format: a name of :data:`FORMATS`; None to choose it by the file.
        dataset: such as ``refcoco``; None where the names of file or folder say it.
        splits_by: ``unc``, ``umd`` or ``google``; None where the file's name says it, or for the usual one.
        split: of files that hold one and do not say which.
        instances: COCO's ``instances.json``; the official format finds it beside the refs.

    Raises:
        UsageError: where something is unknown, missing, unsafe or of another layout.
    """
    path = Path(source).expanduser()
    if not path.exists():
        raise UsageError(f"there is no file {path}")
    if path.is_file() and is_annotations(path):
        return read_annotations(path)
    name = format or ("parquet" if path.is_dir() else _SUFFIXES.get(path.suffix, path.suffix.removeprefix(".")))
    if name not in FORMATS:
        raise UsageError(f"{path}: no importer for {name!r}; {suggestion(name, FORMATS)}")
    named = dataset or benchmark_of_path(path)
    if named is None:
        raise UsageError(f"nothing in the name of {path} tells the data set; name it: refcoco, refcoco+ or refcocog")
    chosen = benchmark(named, splits_by or splits_by_of_path(path))
    place = None if instances is None else Path(instances).expanduser()
    return FORMATS[name](Source(path, chosen, split or split_of_path(path), place))


def convert_refer(
    source: str | Path,
    target: str | Path | None = None,
    detections: str | Path | None = None,
    **facts: Any,
) -> tuple[ReferringData, Path]:
    """Write referring expressions of any format as densevl's JSON lines.

    Args:
        source: a file, or for parquet a folder of them.
        target: the file to write; ``<dataset>_<splits_by>.jsonl`` beside the source where it is None.
        detections: a file of detected boxes, kept in the file as the candidates ``detections``.
        facts: further arguments of :func:`import_refer`, such as ``dataset`` or ``split``.

    Returns:
        The data and the file.

    Raises:
        UsageError: as :func:`import_refer`.
        OutputError: where the file cannot be written.
    """
    data = import_refer(source, **facts)
    if detections is not None:
        found = read_detections(detections)
        images = tuple(
            replace(image, candidates={**image.candidates, "detections": found.get(image.image_id, ())})
            for image in data.images
        )
        data = replace(data, images=images)
    path = Path(source).expanduser()
    named = f"{data.dataset}_{data.splits_by}.jsonl"
    place = path.with_name(named) if target is None else Path(target).expanduser()
    if place == path:
        raise UsageError(f"{path} would be written over; name another file with --out")
    write_annotations(place, data)
    return data, place


def find_annotations(root: Path, chosen: Benchmark, split: str) -> Path:
    """The annotation file of a benchmark in a folder, by the names that the owners of the formats give it.

    Raises:
        UsageError: where there is none; the message lists where it was looked for.
    """
    name, by = chosen.name, chosen.splits_by
    names = [
        f"{name}_{by}.jsonl",
        f"refs({by}).p",
        f"{name}_{split.lower()}.jsonl",
        f"{name}_{split}.jsonl",
        f"finetune_{name}_{split}.json",
        f"{name}.parquet",
    ]
    places = [folder / file for file in names for folder in (root, root / name, root / "annotations")]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise UsageError(
            f"{chosen.title}: there is no annotation file below {root}; expected one of {', '.join(names)}, there or "
            f"in {name}/; set --cfg-options data_root=FOLDER annotations=FILE"
        )
    return found
