"""Gains of each refinement over MaskCLIP on held-out scenes.

Every row is labelled by a segmentor and counted by the metric of the benchmarks. MaskCLIP stands at its best size, that
of ``configs/maskclip_scenes.py``, and at the size of ``configs/dinoiser_scenes.py``, whose rows differ in what refines
the features of the same encoder alone. The oracles average the features over the true instances, which no method can
know: what perfect affinities would give, on the encoder's patches and on the sub-patches of the heads. Behind each name
stands the grid that labels are read from.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Int64
from torch import Tensor
from tqdm import tqdm

from densevl.benchmarks.segmentation.datasets import ScenesDataset
from densevl.benchmarks.speed.runs import configured_segmentor
from densevl.core.config_files import load_config
from densevl.core.features import TextEmbeddings
from densevl.core.geometry import Size
from densevl.datasets.scenes import Scene
from densevl.dense.refiners.sub_patches import on_sub_patches
from densevl.metrics.confusion import confusion_matrix, scores_of
from densevl.metrics.table import Table
from densevl.tasks.segmentation.encoded import EncodedImage
from densevl.tasks.segmentation.segmentor import Segmentor

__all__ = ["Row", "count", "dinoiser_rows", "dinoiser_table", "oracle", "true_regions"]

SCENES_AT_ONCE = 8
UNREFINED, REFINED = "maskclip_scenes", "dinoiser_scenes"
TRAINING = "dinoiser_train_scenes"

MASKCLIP_PLUS = ["prompt-denoising", "key-smoothing"]
"""What MaskCLIP's code does with probabilities, at its thresholds."""

MASKCLIP, HEADS, ORACLE = "MaskCLIP", "+ DINOiser", "oracle: affinities of the true instances, sub-patches"

Change = Callable[[EncodedImage, Scene], EncodedImage]


@dataclass(frozen=True)
class Row:
    """A row of the table: a segmentor, and what is changed of its features before they are labelled.

    Attributes:
        name: what the table calls it.
        segmentor: encodes and labels.
        change: what is done to an encoded scene in between; None for nothing.
    """

    name: str
    segmentor: Segmentor
    change: Change | None = None

    def encode(self, scenes: list[Scene], texts: TextEmbeddings | None = None) -> list[EncodedImage]:
        """Scenes as they are labelled, with the texts where the segmentor encodes for them."""
        made_for = texts if self.segmentor.encodes_for_texts else None
        encoded = self.segmentor.encode([scene.image for scene in scenes], made_for)
        if self.change is None:
            return encoded
        return [self.change(one, scene) for one, scene in zip(encoded, scenes, strict=True)]

    def label(self, scenes: list[Scene], texts: TextEmbeddings) -> list[Tensor]:
        """Label maps of scenes."""
        return [self.segmentor.label(one, texts)[0] for one in self.encode(scenes, texts)]


def true_regions(scene: Scene, grid: Size) -> Int64[Tensor, "h w"]:
    """Number of the object, or of the ground, that each patch mostly shows.

    Args:
        scene: with the truth.
        grid: patches (down, right) over the whole image.
    """
    things = torch.from_numpy(scene.instances).long()
    grounds = torch.from_numpy(scene.labels).long()
    regions = torch.where(things > 0, grounds.max() + things, grounds)
    coverage = F.interpolate(F.one_hot(regions).permute(2, 0, 1)[None].float(), size=grid, mode="area")
    return coverage[0].argmax(dim=0)


def oracle(encoded: EncodedImage, scene: Scene, factor: int = 1) -> EncodedImage:
    """Features averaged over :func:`true_regions`, of a scene encoded in one window of whole patches.

    Args:
        encoded: the scene.
        scene: with the truth.
        factor: sub-patches along a side of a patch.
    """
    features = on_sub_patches(encoded.features, factor)
    height, width = features.grid.shape[2:]
    members = F.one_hot(true_regions(scene, (height, width)).flatten()).to(features.grid)
    means = features.grid[0].flatten(1) @ members / members.sum(0).clamp_min(1)
    pooled = (means @ members.T).unflatten(1, (height, width))
    return replace(encoded, features=replace(features, grid=pooled[None]))


def dinoiser_rows() -> list[Row]:
    """The rows of the table, with the settings of the benchmarks' configs but for what refines."""
    best = _built(UNREFINED)
    refined = _built(REFINED)
    heads: Any = refined.refiners[0]
    bare = _built(REFINED, refiners=())
    factor = 1 if heads.sub_patch is None else bare.encoder.patch_size // heads.sub_patch
    teacher = {key: value for key, value in load_config(TRAINING).model.teacher.to_dict().items() if key != "encoder"}
    teacher |= {"sub_patch": heads.sub_patch, "radius": heads.radius, "rounds": heads.rounds}
    return [
        Row(MASKCLIP, best),
        Row("+ key smoothing and denoising", _built(UNREFINED, stages=MASKCLIP_PLUS)),
        Row("MaskCLIP at the size of the rows below", bare),
        Row(HEADS, refined),
        Row("with the teacher in place of the heads", _built(REFINED, refiners=(teacher,))),
        Row("oracle: affinities of the true instances, patches", bare, oracle),
        Row(ORACLE, bare, partial(oracle, factor=factor)),
    ]


def _built(config: str, **changes: Any) -> Segmentor:
    """The segmentor of a config, with changes."""
    return configured_segmentor(config, **changes)


def dinoiser_table(scenes: int) -> Table:
    """Measure the table.

    Args:
        scenes: number of held-out scenes, those of ``configs/scenes.py``.
    """
    dataset = ScenesDataset(length=scenes)
    rows = dinoiser_rows()
    matrices = count(rows, dataset)
    scores = [scores_of(matrix, dataset.vocabulary.names, dataset.metainfo["groups"]) for matrix in matrices]
    groups = list(scores[0].groups)
    names = [f"{row.name} ({_grid(row, dataset.scene(0))})" for row in rows]
    figures = [(name, (s.mean_iou, *s.group_iou().values())) for name, s in zip(names, scores, strict=True)]
    means = {row.name: score.mean_iou for row, score in zip(rows, scores, strict=True)}
    gain, possible = means[HEADS] - means[MASKCLIP], means[ORACLE] - means[MASKCLIP]
    sizes = f"short side {rows[0].segmentor.short_side}, from the third row on {rows[2].segmentor.short_side}"
    note = (
        f"{scenes} held-out scenes, {rows[0].segmentor.encoder.model_id}, {sizes}. Over MaskCLIP at its best size the "
        f"heads add {gain:.1f}, true affinities on the same grid {possible:.1f}"
    )
    return Table((f"mIoU of {len(dataset.vocabulary)} classes", "all", *groups), figures, note)


def _grid(row: Row, scene: Scene) -> str:
    """Patches, or sub-patches, down and right."""
    return "×".join(str(side) for side in row.encode([scene])[0].features.grid.shape[2:])


def count(rows: list[Row], dataset: ScenesDataset) -> list[Int64[Tensor, "k k"]]:
    """The confusion matrix of each row; every scene is drawn once."""
    classes, scenes = len(dataset.vocabulary), len(dataset)
    texts = [row.segmentor.embed(dataset.vocabulary) for row in rows]
    matrices = [torch.zeros(classes, classes, dtype=torch.int64) for _ in rows]
    with tqdm(total=scenes, desc="scenes", leave=False, disable=None) as progress:
        for start in range(0, scenes, SCENES_AT_ONCE):
            group = [dataset.scene(index) for index in range(start, min(start + SCENES_AT_ONCE, scenes))]
            truths = [torch.from_numpy(scene.labels).long() for scene in group]
            for row, embedded, matrix in zip(rows, texts, matrices, strict=True):
                for truth, labels in zip(truths, row.label(group, embedded), strict=True):
                    matrix += confusion_matrix(truth, labels.cpu(), classes)
            progress.update(len(group))
    return matrices
