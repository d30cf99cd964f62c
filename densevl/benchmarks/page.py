"""The page of an evaluation: the answers over the images beside the truth, and the scores as tables.

Label maps are drawn; of other benchmarks the page has the tables alone.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook

from densevl.benchmarks.lenses.answers.figures import figure_of
from densevl.benchmarks.per_image import gathered
from densevl.benchmarks.report import Report
from densevl.core.drawing.page import Item, Legend, Page, Table, write_labels, write_picture
from densevl.core.labelmap import IGNORED

__all__ = ["PageHook"]

Answer = tuple[int, str, float | None, Item | None]
"""Index of an image, its name, its own figure in [0, 1], and its picture where it has one."""


class PageHook(Hook):
    """Writes the pictures of each batch, and the page at the end.

    Args:
        out: the folder.
    """

    def __init__(self, out: str | Path) -> None:
        self.out = Path(out)
        self._figure = ""
        self._found: list[Answer] = []

    def after_test_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] | None = None
    ) -> None:
        """Write the pictures of a batch; images that could not be used are left out."""
        dataset = runner.test_dataloader.dataset
        for sample in (one.to_dict() for one in outputs or () if "failure" not in one):
            path, self._figure, value = figure_of(sample, "page")
            value = None if value is None else value / 100
            name = str(Path(sample.get("relative_path", path)).with_suffix(""))
            self._found.append((sample["sample_idx"], name, value, self._item(dataset, sample, name, value)))

    def _item(self, dataset: Any, sample: Mapping[str, Any], name: str, value: float | None) -> Item | None:
        if "pred_sem_seg" not in sample:
            return None
        layers = {}
        for layer, field in (("labels", "pred_sem_seg"), ("truth", "gt_sem_seg")):
            labels = sample[field]["data"].squeeze(0).cpu().numpy().astype(int)
            labels[labels == sample.get("ignored", IGNORED)] = -1
            layers[layer] = write_labels(self.out, name, labels, layer)
        picture = write_picture(self.out, name, dataset.image(sample["sample_idx"]))
        detail = "" if value is None else f"{self._figure} {100 * value:.1f} %"
        return Item(name, picture, layers, detail, (value,))

    def gather(self) -> list[Answer]:
        """The answers of all processes, in the order of the data set; called on every process."""
        return sorted(gathered(self._found), key=lambda answer: answer[0])

    def write(self, found: Sequence[Answer], report: Report, vocabulary: Any = None) -> Path:
        """Write the page.

        Args:
            found: what :meth:`gather` gave.
            report: the scores.
            vocabulary: the classes of label maps.

        Returns:
            The file of the page.

        Raises:
            OutputError: where it cannot be written.
        """
        items = [item for *_, item in found if item is not None]
        classes = {one["name"]: one for one in report.scores.as_dict().get("classes", ())}
        groups = []
        if vocabulary is not None and items:
            for name, colour in zip(vocabulary.names, vocabulary.palette, strict=True):
                score = classes.get(name, {}).get("IoU")
                groups.append(Legend(name, colour, "" if score is None else f"{score:.1f}"))
        numbers = {name: number for number, name in enumerate(item.name for item in items)}
        scores = [(name, value) for name, value in report.scores.as_dict().items() if isinstance(value, int | float)]
        tables = [Table("Scores", (("score", "text"), ("value", "number")), scores)]
        if groups:
            rows = [
                (label, *(_fraction(classes.get(line.name, {}).get(key)) for key in ("IoU", "Acc")))
                for label, line in enumerate(groups)
            ]
            tables.append(Table("Classes", (("class", "group"), ("IoU", "share"), ("accuracy", "percent")), rows))
        figure = self._figure or "figure"
        shown = "item" if items else "text"
        images = [(numbers.get(name) if items else name, value) for _, name, value, _ in found]
        tables.append(Table("Images", (("image", shown), (figure, "share")), images))
        note = f"{report.dataset} · {report.model} · {len(found)} images"
        page = Page(report.config, note, "Classes, IoU", groups, items, tables, ("labels", "truth"), (figure,))
        return page.write(self.out)


def _fraction(value: float | None) -> float | None:
    return None if value is None else value / 100
