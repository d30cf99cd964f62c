"""The scores of every image."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from densevl.benchmarks.lenses.answers.contracts import Section
from densevl.benchmarks.lenses.answers.figures import Figure, figure_of
from densevl.core.files import atomic_write
from densevl.core.labelmap import IGNORED
from densevl.metrics.confusion import confusion_matrix, scores_of
from densevl.metrics.table import or_none

__all__ = ["PerImage", "write_images"]


class _Scored(NamedTuple):
    """The figure of an image, and the mIoU of its label map; None where it has none."""

    figure: Figure
    mean_iou: float | None


class PerImage:
    """The figure of every image (:func:`figure_of`), and of label maps the mIoU, in the order of the data set.

    The mIoU of an image is the mean over the classes that occur in its truth or in its labels. It says which images are
    hard, and its mean over the images is not the mIoU of the data set. The rows are in ``results.json``, and in a file
    by :func:`write_images`; the report prints their means.
    """

    name = "per-image"

    def measure(self, sample: Mapping[str, Any]) -> _Scored:
        """The scores of an image.

        Raises:
            UsageError: where the task has no figure for an image.
        """
        figure = figure_of(sample, self.name)
        if "pred_sem_seg" not in sample:
            return _Scored(figure, None)
        labels, truth = sample["pred_sem_seg"]["data"].squeeze(0), sample["gt_sem_seg"]["data"].squeeze(0)
        truth = truth.to(labels.device)
        ignored = sample.get("ignored", IGNORED)
        seen = truth[truth != ignored]
        if not len(seen):
            return _Scored(figure, None)
        classes = 1 + int(max(seen.max(), labels.max()))
        matrix = confusion_matrix(truth, labels, classes, ignored)
        return _Scored(figure, or_none(scores_of(matrix, [str(label) for label in range(classes)]).mean_iou))

    def section(self, found: Sequence[_Scored], facts: Mapping[str, Any]) -> Section:
        """A row for each image."""
        name = found[0].figure.name
        maps = any(one.mean_iou is not None for one in found)
        rows = [
            {"image": one.figure.image, **({"mIoU": one.mean_iou} if maps else {}), name: one.figure.value}
            for one in found
        ]
        columns = list(rows[0])[1:]
        means = [f"mean {column} {fmean(value):.2f}" for column in columns if (value := _known(rows, column))]
        return Section({"figures": columns, "images": rows}, [", ".join([f"{len(rows)} images", *means])])


def _known(rows: Sequence[Mapping[str, Any]], column: str) -> list[float]:
    return [row[column] for row in rows if row[column] is not None]


def write_images(path: str | Path, section: Section) -> None:
    """Write the rows of a section of :class:`PerImage`: a ``.csv`` with a head, or a ``.json`` list.

    Raises:
        OutputError: where the file cannot be written.
    """
    rows = section.values["images"]
    with atomic_write(path) as temporary:
        if Path(path).suffix == ".json":
            temporary.write_text(json.dumps(rows, indent=2, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
            return
        with temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
