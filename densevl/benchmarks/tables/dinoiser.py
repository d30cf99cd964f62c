"""What each refinement adds to MaskCLIP on held-out scenes.

Every row is labelled by the segmentor of ``configs/dinoiser_scenes.py`` and counted by the metric of the benchmarks;
the rows differ in what refines the features of the same encoder alone. The last row pools the features by affinities of
the true instances, which no method can know: what perfect affinities would give.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor
from tqdm import tqdm

from densevl.benchmarks.confusion import confusion_matrix, scores_of
from densevl.benchmarks.datasets import ScenesDataset
from densevl.benchmarks.tables.table import Table
from densevl.config_files import load_config
from densevl.refiners import pool_by_affinity
from densevl.scenes import Scene
from densevl.segmentors import EncodedImage, Segmentor, build_segmentor
from densevl.structures import Size, TextEmbeddings

__all__ = ["Row", "count", "dinoiser_rows", "oracle", "rows", "true_affinity"]

SCENES_AT_ONCE = 8
CONFIG = "dinoiser_scenes"
TEACHER = {"type": "walk"}
"""The teacher of ``configs/dinoiser_train_scenes.py``."""

UNCERTAIN = 0.5
"""Threshold of prompt denoising, and of key smoothing, in MaskCLIP's code."""

Change = Callable[[EncodedImage, Scene], EncodedImage]


@dataclass(frozen=True)
class Row:
    """A way to label scenes.

    Attributes:
        name: what the table calls it.
        segmentor: encodes and labels.
        change: what is done to an encoded scene in between; None for nothing.
    """

    name: str
    segmentor: Segmentor
    change: Change | None = None

    def label(self, scenes: list[Scene], texts: TextEmbeddings) -> list[Tensor]:
        """Label maps of scenes."""
        encoded = self.segmentor.encode([scene.image for scene in scenes])
        if self.change is not None:
            encoded = [self.change(one, scene) for one, scene in zip(encoded, scenes, strict=True)]
        return [self.segmentor.label(one, texts)[0] for one in encoded]


def true_affinity(scene: Scene, grid: Size) -> Float[Tensor, "1 n n"]:
    """1 where two patches show mostly the same object, or the same ground, else 0.

    Args:
        scene: with the truth.
        grid: patches (down, right) over the whole picture.
    """
    things = torch.from_numpy(scene.instances).long()
    grounds = torch.from_numpy(scene.labels).long()
    regions = torch.where(things > 0, grounds.max() + things, grounds)
    shares = F.interpolate(F.one_hot(regions).permute(2, 0, 1)[None].float(), size=grid, mode="area")
    most = shares.argmax(dim=1).flatten(1)
    return (most[:, :, None] == most[:, None]).float()


def oracle(encoded: EncodedImage, scene: Scene) -> EncodedImage:
    """Features pooled by :func:`true_affinity`, of a scene encoded in one window of whole patches."""
    features = encoded.features
    affinity = true_affinity(scene, (features.grid.shape[2], features.grid.shape[3])).to(features.grid.device)
    return replace(encoded, features=replace(features, grid=pool_by_affinity(features.grid, affinity, 0.5)))


def dinoiser_rows() -> list[Row]:
    """The rows of the table, all with the settings of ``configs/dinoiser_scenes.py`` but for the refiner."""
    settings = {key: value for key, value in load_config(CONFIG).model.to_dict().items() if key != "type"}
    model = settings.pop("segmentor")
    without = {**settings, "refiners": ()}
    plain = build_segmentor(model, **without)
    return [
        Row("MaskCLIP", plain),
        Row("+ key smoothing and denoising", build_segmentor(model, **without, smooth=UNCERTAIN, denoise=UNCERTAIN)),
        Row("+ DINOiser", build_segmentor(model, **settings)),
        Row("with the teacher in place of the heads", build_segmentor(model, **{**settings, "refiners": (TEACHER,)})),
        Row("oracle: affinities of the true instances", plain, oracle),
    ]


def rows(scenes: int) -> Table:
    """Measure the table.

    Args:
        scenes: number of held-out scenes, those of ``configs/_base_/scenes.py``.
    """
    dataset = ScenesDataset(length=scenes)
    ways = dinoiser_rows()
    matrices = count(ways, dataset)
    scores = [scores_of(matrix, dataset.vocabulary.names, dataset.metainfo["groups"]) for matrix in matrices]
    groups = list(scores[0].groups)
    figures = [(row.name, (s.mean_iou, *s.group_iou().values())) for row, s in zip(ways, scores, strict=True)]
    protocol = ways[0].segmentor.protocol
    note = f"{scenes} held-out scenes, {protocol['encoder']}, short side {protocol['short_side']}"
    return Table((f"mIoU of {len(dataset.vocabulary)} classes", "all", *groups), figures, note)


def count(ways: list[Row], dataset: ScenesDataset) -> list[Int64[Tensor, "k k"]]:
    """The confusion matrix of each row; every scene is drawn once."""
    classes, scenes = len(dataset.vocabulary), len(dataset)
    texts = [row.segmentor.embed(dataset.vocabulary) for row in ways]
    matrices = [torch.zeros(classes, classes, dtype=torch.int64) for _ in ways]
    with tqdm(total=scenes, desc="scenes", leave=False, disable=None) as progress:
        for start in range(0, scenes, SCENES_AT_ONCE):
            group = [dataset.scene(index) for index in range(start, min(start + SCENES_AT_ONCE, scenes))]
            truths = [torch.from_numpy(scene.labels).long() for scene in group]
            for row, asked, matrix in zip(ways, texts, matrices, strict=True):
                for truth, labels in zip(truths, row.label(group, asked), strict=True):
                    matrix += confusion_matrix(truth, labels.cpu(), classes)
            progress.update(len(group))
    return matrices
