"""Training regions: rendered scenes with the box of each object and what is said of it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.registry import DATASETS
from torch.utils.data import Dataset

from densevl.datasets.region_sample import collate_regions, region_sample
from densevl.datasets.scenes.language import caption, region_text
from densevl.datasets.scenes.scene import Scene, render

__all__ = ["SceneRegionTexts", "collate_regions"]


@DATASETS.register_module()
class SceneRegionTexts(Dataset):
    """Scenes of the training split; each is drawn on first use and then kept in memory.

    Args:
        length: number of scenes.
        size: short side of the images in pixels.
        zoom: scale of objects and textures relative to the short side.
        count: least and greatest number of objects.
        seed: number of the collection.
        masks: give the visible pixels of each object too.
        side: of the square that an image is scaled to and padded to; None for its long side.
        aspects: width over height of the images, taken in turn.
    """

    def __init__(
        self,
        length: int,
        size: int = 128,
        zoom: int | float = 1.0,
        count: tuple[int, int] = (2, 5),
        seed: int = 0,
        masks: bool = False,
        side: int | None = None,
        aspects: Sequence[int | float] = (1,),
    ) -> None:
        self.length, self.size, self.zoom, self.count, self.seed, self.masks = length, size, zoom, count, seed, masks
        self.side, self.aspects = side, tuple(aspects)
        self._drawn: dict[int, dict[str, Any]] = {}

    def __len__(self) -> int:
        return self.length

    def scene(self, index: int) -> Scene:
        """The scene of a number."""
        aspect = self.aspects[index % len(self.aspects)]
        size = (round(self.size / min(aspect, 1)), round(self.size * max(aspect, 1)))
        return render(self.seed, index, size, "train", self.count, self.zoom)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The image as (3, S, S) uint8, the boxes of its objects as fractions of it, their texts, and a caption."""
        if index not in self._drawn:
            scene = self.scene(index)
            side = self.side or max(scene.labels.shape)
            boxes = torch.tensor([item.box for item in scene.objects], dtype=torch.float32).reshape(-1, 4)
            texts = tuple(region_text(item) for item in scene.objects)
            sentence = caption(scene, np.random.default_rng([self.seed, index]))
            masks = np.array([item.mask for item in scene.objects], bool).reshape(-1, *scene.labels.shape)
            given = torch.from_numpy(masks) if self.masks else None
            self._drawn[index] = region_sample(scene.image, boxes, texts, sentence, side, given)
        return self._drawn[index]
