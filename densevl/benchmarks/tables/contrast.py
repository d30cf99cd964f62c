"""One class asked for alone: what it is compared with, by IoU-single on held-out scenes.

Every class that a scene shows is asked for by itself, as somebody does who wants one thing. The rows differ in the
background mode alone. The last one compares a class with all others that there are, which nobody can name who does not
know the pictures: what words can give at best.
"""

from collections.abc import Sequence
from statistics import fmean

import torch
from tqdm import tqdm

from densevl.api.loading import load
from densevl.benchmarks.segmentation.datasets import ScenesDataset
from densevl.core.background import Background
from densevl.core.features import TextEmbeddings
from densevl.core.vocabulary import Vocabulary
from densevl.datasets.scenes import CLASSES
from densevl.metrics.single import SingleIoU
from densevl.metrics.table import Cell, Spread, Table
from densevl.tasks.segmentation.segmentor import Segmentor

__all__ = ["contrast_table"]

MODELS = ("mini-maskclip", "mini")
SEEDS, SCENES_AT_ONCE = (201, 202, 203), 8
"""Collections of held-out scenes, on which nothing was chosen; scenes that are encoded at once."""

GROUNDS = CLASSES[:6]

MODES = {
    "none: every pixel": "none",
    'literal: "background"': "literal",
    "words: the grounds": f"words:{','.join(GROUNDS)}",
    "contrast, neutral words": "contrast:scenes_neutral",
    "contrast, words that co-occur": "contrast:scenes",
    "head": "head",
}

ALL = "all other classes"


def contrast_table(scenes: int) -> Table:
    """Measure the table.

    Args:
        scenes: number of held-out scenes of each seed.
    """
    tables = [_table(name, scenes) for name in MODELS]
    return Table(tables[0].head, tables[0].rows, tables[0].note, tables[1:])


def _table(name: str, scenes: int) -> Table:
    model = load(name, device="cpu")
    segmentor = model.segmentor
    if not isinstance(segmentor, Segmentor):
        raise TypeError(f"{name} labels no patches")
    asked = {row: [_texts(segmentor, label, mode) for label in CLASSES] for row, mode in _modes(segmentor).items()}
    datasets = [ScenesDataset(seed=seed, length=scenes) for seed in SEEDS]
    counted = [_count(segmentor, asked, dataset) for dataset in datasets]
    groups: dict[str, Sequence[int] | None] = {"all": None, **datasets[0].metainfo["groups"]}
    rows: list[tuple[str, list[Cell]]] = []
    for row, texts in asked.items():
        figures: list[Cell] = [Spread([one[row].mean(labels) for one in counted]) for labels in groups.values()]
        rows.append((row, [*figures, f"{fmean(_words(one) for one in texts):.0f}"]))
    note = (
        f"{scenes} held-out scenes of each of the seeds {', '.join(map(str, SEEDS))}, {segmentor.encoder.model_id}; "
        "mean ± standard deviation of the seeds. Never-seen pairs stand in no caption: they are compared with the "
        "words that are frequent in all captions."
    )
    return Table((f"IoU-single, {name}", *groups, "words"), rows, note)


def _modes(segmentor: Segmentor) -> dict[str, str]:
    """The background mode of each row; that of the last one depends on the class."""
    able = {row: mode for row, mode in MODES.items() if mode != "head" or segmentor.dense.finds_foreground}
    return {**able, ALL: ALL}


def _texts(segmentor: Segmentor, label: str, mode: str) -> TextEmbeddings:
    """A class alone, as a row asks for it."""
    others = tuple(name for name in CLASSES if name != label)
    return segmentor.embed(Vocabulary.from_classes([label]), Background("words", others) if mode == ALL else mode)


def _words(texts: TextEmbeddings) -> int:
    """Number of queries that the class is compared with."""
    return len(texts.query_classes) - 1


def _count(
    segmentor: Segmentor, asked: dict[str, list[TextEmbeddings]], dataset: ScenesDataset
) -> dict[str, SingleIoU]:
    """IoU-single of each row on the scenes of a data set, each of which is drawn and encoded once."""
    counts = {row: SingleIoU(len(CLASSES)) for row in asked}
    for start in tqdm(range(0, len(dataset), SCENES_AT_ONCE), desc="scenes", leave=False, disable=None):
        group = [dataset.scene(index) for index in range(start, min(start + SCENES_AT_ONCE, len(dataset)))]
        for scene, encoded in zip(group, segmentor.encode([scene.image for scene in group]), strict=True):
            truth = torch.from_numpy(scene.labels).long()
            everywhere = torch.ones_like(truth, dtype=torch.bool)
            for label in truth.unique().tolist():
                for row, texts in asked.items():
                    found = segmentor.label(encoded, texts[label])[0].cpu()
                    own = texts[label].vocabulary.names.index(CLASSES[label])
                    counts[row].add(label, found == own, truth == label, everywhere)
    return counts
