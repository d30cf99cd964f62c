"""Converting the labels of a data set by its name, as ``tools/convert_labels.py`` does."""

from collections.abc import Callable
from pathlib import Path

from densevl.core.errors import UsageError, suggestion
from densevl.datasets.converters.cityscapes import cityscapes_tasks
from densevl.datasets.converters.coco import coco_object_tasks, coco_stuff_tasks
from densevl.datasets.converters.context import context_tasks
from densevl.datasets.converters.conversion import Conversion, Task, run_tasks

__all__ = ["CONVERTERS", "convert_labels"]

CONVERTERS: dict[str, Callable[..., list[Task]]] = {
    "cityscapes": cityscapes_tasks,
    "coco_object": coco_object_tasks,
    "coco_stuff": coco_stuff_tasks,
    "context": context_tasks,
}


def convert_labels(
    dataset: str,
    root: str | Path,
    split: str = "val",
    annotations: str | Path | None = None,
    workers: int | None = None,
    overwrite: bool = False,
) -> Conversion:
    """Make the label maps of a data set that are not there yet.

    Args:
        dataset: a name of :data:`CONVERTERS`.
        root: folder of the data set, as the benchmark's config has it.
        split: ``"val"`` or ``"train"``.
        annotations: JSON file, for the data sets that are made from one.
        workers: number of processes; None for one a core.
        overwrite: make all label maps anew.

    Raises:
        UsageError: where the name is unknown or there is nothing to convert.
    """
    if dataset not in CONVERTERS:
        raise UsageError(f"no converter for {dataset!r}; {suggestion(dataset, CONVERTERS)}")
    options = {} if annotations is None else {"annotations": Path(annotations).expanduser()}
    if options and dataset not in ("coco_object", "context"):
        raise UsageError(f"{dataset} is converted from its own label maps; leave out the annotation file")
    return run_tasks(CONVERTERS[dataset](Path(root).expanduser(), split, **options), workers, overwrite)
