"""Training regions: rendered scenes with the box of each object and what is said of it."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.registry import DATASETS
from torch.utils.data import Dataset

from densevl.scenes import render
from densevl.scenes.language import region_text

__all__ = ["SceneRegionTexts", "collate_regions"]


@DATASETS.register_module()
class SceneRegionTexts(Dataset):
    """Scenes of the training split; each is drawn on first use and then kept in memory.

    Args:
        length: number of scenes.
        size: side of the square pictures in pixels.
        zoom: scale of objects and textures relative to the side.
        count: least and greatest number of objects.
        seed: number of the collection.
    """

    def __init__(
        self, length: int, size: int = 128, zoom: float = 1.0, count: tuple[int, int] = (2, 5), seed: int = 0
    ) -> None:
        self.length, self.size, self.zoom, self.count, self.seed = length, size, zoom, count, seed
        self._drawn: dict[int, dict[str, Any]] = {}

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The picture as (3, H, W) uint8, the boxes of its objects as shares of it, and their texts."""
        if index not in self._drawn:
            scene = render(self.seed, index, self.size, "train", self.count, self.zoom)
            boxes = torch.tensor([item.box for item in scene.objects], dtype=torch.float32).reshape(-1, 4)
            self._drawn[index] = {
                "images": torch.from_numpy(scene.image).permute(2, 0, 1).contiguous(),
                "boxes": boxes / self.size,
                "texts": tuple(region_text(item) for item in scene.objects),
            }
        return self._drawn[index]


def collate_regions(samples: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """Samples as lists of images, boxes and texts; MMEngine's own collation wants as many texts of each image."""
    return {name: [sample[name] for sample in samples] for name in samples[0]}
