"""Cityscapes: from the raw ids of ``_labelIds.png`` to the 19 classes of the evaluation.

Source: Cordts et al., CVPR 2016; the classes and ids are those of the data set's own label table.
"""

from pathlib import Path

from densevl.datasets.converters.conversion import Task, table, tasks_of_files

__all__ = ["cityscapes_tasks"]

CLASSES = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""Raw id of each class, in the order of the labels; every other id is ignored."""


def cityscapes_tasks(root: Path, split: str = "val") -> list[Task]:
    """Tasks for ``gtFine/<split>/<city>/*_gtFine_labelIds.png``; results stand beside them as ``_labelTrainIds.png``.

    Raises:
        UsageError: where there are no such files.
    """
    folder = root / "gtFine" / split
    lookup = table({raw: label for label, raw in enumerate(CLASSES)}, default=255)
    files = sorted(folder.glob("*/*_gtFine_labelIds.png"))
    return tasks_of_files(files, "_labelIds.png", "_labelTrainIds.png", lookup, f"{folder}/*/*_gtFine_labelIds.png")
