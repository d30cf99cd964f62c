"""The data sets of label maps: what is here, what is missing, and how to get and convert it.

Where a data set comes from is in ``data/datasets.json``, its layout in its config; nothing of it is read but the names
of its files.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mmengine.config import Config

from densevl.core.config_files import find_config
from densevl.core.errors import UsageError, suggestion
from densevl.weights.table import DATA

__all__ = ["DataSet", "data_set", "data_set_names", "placed"]


@dataclass(frozen=True)
class DataSet:
    """A data set of label maps.

    Attributes:
        name: of its config.
        title: in words.
        source: where it comes from.
        licence: in short; what counts is its own page.
        steps: what to do to have it, one after another.
        images: the folder of the images, or what stands in its place.
        labels: the folder of the label maps.
        found: number of images that are here.
        labelled: number of those that have a label map.
        expected: number of images of the whole benchmark; None where it is not known.
    """

    name: str
    title: str
    source: str
    licence: str
    steps: tuple[str, ...]
    images: str
    labels: str
    found: int
    labelled: int
    expected: int | None

    @property
    def here(self) -> bool:
        """True where it can be measured: every image that is here has a label map."""
        return not self.images or 0 < self.found == self.labelled

    @property
    def state(self) -> str:
        """In words: here, in part, or missing."""
        if not self.images:
            return "drawn"
        if not self.found:
            return "missing"
        if self.labelled < self.found:
            return f"{self.found - self.labelled} of {self.found} label maps missing"
        whole = self.expected in (None, self.found)
        return f"here, {self.found} images" if whole else f"here, {self.found} of {self.expected} images"


def data_set_names() -> tuple[str, ...]:
    """Names of all data sets of label maps, those of their configs."""
    return tuple(_rows())


def data_set(name: str, data: Path = Path("data")) -> DataSet:
    """A data set, as far as it is here.

    Args:
        name: of its config.
        data: folder that stands for the ``data/`` of the configs.

    Raises:
        UsageError: where there is none of this name.
    """
    if name not in _rows():
        raise UsageError(f"data set {name!r} is unknown; {suggestion(name, _rows())}")
    row = _rows()[name]
    facts = {**_rows()[row["as"]], **row} if "as" in row else row
    layout = Config.fromfile(find_config(name)).test_dataloader.dataset
    steps = tuple(step.replace("{data}", str(data)) for step in facts["steps"])
    about = (name, facts["title"], facts["from"], facts["licence"], steps)
    if "images" not in layout:
        return DataSet(*about, "", "", 0, 0, None)
    root = placed(layout.data_root, data)
    images, labels = root / layout.images, root / layout.labels
    names = _names(layout, root, images, labels)
    suffix = layout.get("label_suffix", ".png")
    labelled = sum((labels / f"{one}{suffix}").is_file() for one in names)
    return DataSet(*about, str(images), str(labels), len(names), labelled, layout.get("expected"))


def placed(data_root: str, data: Path) -> Path:
    """The place of a config's ``data_root`` where another folder stands for its ``data/``."""
    first, *rest = Path(data_root).parts
    return data.joinpath(*rest) if first == "data" else Path(data_root)


def _names(layout: Any, root: Path, images: Path, labels: Path) -> list[str]:
    """The images that a config counts and that are here, without suffix."""
    suffix = layout.get("image_suffix", ".jpg")
    if layout.get("split"):
        listed = root / layout.split
        lines = listed.read_text(encoding="utf-8").splitlines() if listed.is_file() else []
        return [name for name in map(str.strip, lines) if name and (images / f"{name}{suffix}").is_file()]
    by_labels = layout.get("listed_by") == "labels"
    folder, ends = (labels, layout.get("label_suffix", ".png")) if by_labels else (images, suffix)
    return [path.relative_to(folder).as_posix().removesuffix(ends) for path in folder.rglob(f"*{ends}")]


@cache
def _rows() -> dict[str, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = json.loads((DATA / "datasets.json").read_text(encoding="utf-8"))
    return rows
