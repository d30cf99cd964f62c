"""The data sets of a leaderboard: configs of label maps, found below one folder of data."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS

from densevl.api.heads import BENCHMARKS
from densevl.benchmarks.catalogue import data_set_names, placed
from densevl.benchmarks.segmentation.model import OpenVocabularyModel
from densevl.core.config_files import load_config
from densevl.core.errors import UsageError

__all__ = ["CONFIGS", "BenchmarkSet", "open_set", "set_names"]

CONFIGS = {"ade20k": "ade"}
"""Configs that have another name than their vocabulary."""


@dataclass(frozen=True, eq=False)
class BenchmarkSet:
    """A data set that is on the disk.

    Attributes:
        name: of its vocabulary.
        config: a config of label maps.
        dataset: what it builds; item by item an image with its true labels.
        full: number of images of the whole benchmark; None where it is not known.
    """

    name: str
    config: Config
    dataset: Any
    full: int | None

    @property
    def files(self) -> str:
        """Short name of all its files: their names, sizes and times; empty where it has none."""
        digest = hashlib.sha256()
        records = [self.dataset.get_data_info(index) for index in range(len(self.dataset))]
        for record in records:
            for key in ("img_path", "seg_map_path"):
                path = Path(record.get(key, ""))
                facts = path.stat() if path.is_file() else None
                stamp = () if facts is None else (facts.st_size, facts.st_mtime_ns)
                digest.update(repr((record.get(key), stamp)).encode())
        return digest.hexdigest()[:16]


def set_names(names: Sequence[str] = (), on_photos: bool = True) -> tuple[str, ...]:
    """The configs of data sets by their names or those of their vocabularies; none for the eight of the field.

    Args:
        names: configs or vocabularies; ``"mess"`` stands for the multi-domain benchmark.
        on_photos: whether there is a folder of data; drawn scenes stand in for it.
    """
    mess = [name for name in data_set_names() if name.startswith("mess_")]
    chosen = names or (tuple(BENCHMARKS) if on_photos else ("scenes",))
    each = (one for name in chosen for one in (mess if name == "mess" else [CONFIGS.get(name, name)]))
    return tuple(dict.fromkeys(each))


def open_set(name: str, data: Path | None, length: int | None = None, limit: int | None = None) -> BenchmarkSet:
    """Open a data set.

    Args:
        name: of a config, or its path.
        data: folder that stands for the ``data/`` of the configs; None for the places that they name.
        length: number of scenes, where they are drawn.
        limit: use the first images only.

    Raises:
        UsageError: where the config is none of label maps, or the data are not there.
    """
    config = load_config(name)
    if config.model.get("type") is not OpenVocabularyModel:
        raise UsageError(f"{name} is no config of label maps")
    settings = config.test_dataloader.dataset
    if "data_root" in settings and data is not None:
        settings.data_root = str(placed(settings.data_root, data))
    if "length" in settings and length is not None:
        settings.length = length
    if limit is not None:
        settings.indices = limit
    dataset = DATASETS.build(settings)
    return BenchmarkSet(settings.get("vocabulary", "scenes"), config, dataset, dataset.expected)
