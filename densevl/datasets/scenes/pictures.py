"""Scenes as images alone, for training without labels."""

import torch
from mmengine.registry import DATASETS
from torch import Tensor
from torch.utils.data import Dataset

from densevl.core.images import resize_image
from densevl.datasets.scenes.scene import render

__all__ = ["ScenePictures"]


@DATASETS.register_module()
class ScenePictures(Dataset):
    """Scenes of the training split; each is drawn on first use and then kept in memory.

    Args:
        length: number of scenes.
        size: side of the square images in pixels.
        drawn: side in pixels at which they are drawn before they are brought to the size, bilinearly, as the segmentor
            does; None for the size itself.
        zoom: scale of objects and textures relative to the side.
        count: least and greatest number of objects.
        seed: number of the collection.
    """

    def __init__(
        self,
        length: int,
        size: int,
        drawn: int | None = None,
        zoom: float = 1.0,
        count: tuple[int, int] = (1, 5),
        seed: int = 0,
    ) -> None:
        self.length, self.size, self.drawn, self.zoom, self.count, self.seed = length, size, drawn, zoom, count, seed
        self._pictures: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """The image as (3, H, W) uint8."""
        if index not in self._pictures:
            image = render(self.seed, index, self.drawn or self.size, "train", self.count, self.zoom).image
            image = resize_image(image, (self.size, self.size))
            self._pictures[index] = torch.from_numpy(image).permute(2, 0, 1).contiguous()
        return {"images": self._pictures[index]}
