"""Folders in the layout that a config of label maps asks for, with scenes as images."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from densevl.core.vocabulary import Vocabulary
from densevl.datasets.scenes import render


def write_benchmark(root: Path, dataset: Any, count: int = 2, size: int = 64) -> None:
    """Write images, label maps with labels of the vocabulary, and the list of names where there is one.

    Args:
        root: takes the place of the config's ``data_root``.
        dataset: ``test_dataloader.dataset`` of a config of :class:`VocabularyDataset`.
        count: number of images.
        size: side of the images.
    """
    suffix, classes = dataset.get("image_suffix", ".jpg"), len(Vocabulary.load(dataset.vocabulary))
    names = [f"scene_{index}" for index in range(count)]
    for folder in (dataset.images, dataset.labels):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(names):
        scene = render(1, index, size=size, split="val")
        labels = scene.labels % classes + (1 if dataset.get("reduce_zero_label") else 0)
        Image.fromarray(scene.image).save(root / dataset.images / f"{name}{suffix}")
        label_file = f"{name}{dataset.get('label_suffix', '.png')}"
        Image.fromarray(labels.astype(np.uint8)).save(root / dataset.labels / label_file)
    if dataset.get("split"):
        (root / dataset.split).parent.mkdir(parents=True, exist_ok=True)
        (root / dataset.split).write_text("\n".join(names))
