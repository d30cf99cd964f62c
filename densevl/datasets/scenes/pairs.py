"""Training pairs: rendered scenes and their texts."""

from dataclasses import dataclass

import numpy as np
import torch
from mmengine.registry import DATASETS
from torch.utils.data import Dataset

from densevl.core.images import resize_image
from densevl.datasets.scenes.language import caption, things
from densevl.datasets.scenes.scene import render

__all__ = ["ScenePairs", "SceneText"]


@dataclass(frozen=True)
class SceneText:
    """The texts of one training image.

    Attributes:
        caption: one sentence.
        things: what is in the image, each thing in one word or more for each level.
    """

    caption: str
    things: tuple[tuple[str, ...], ...]


@DATASETS.register_module()
class ScenePairs(Dataset):
    """Scenes of the training split with image-level text; each is drawn on first use and then kept in memory.

    Args:
        length: number of scenes.
        size: side of the square images in pixels.
        zoom: range of the views; a scene of 64 pixels at zoom 2 has objects as large as one of 128 pixels at zoom 1.
        count: least and greatest number of objects.
        detail: factors of which one is drawn for each scene: it is rendered so many times larger and scaled to the
            size bilinearly, as the segmentor scales an image.
        padded: fraction of the images whose right and lower edges are black for less than a patch, as the encoder pads.
        seed: number of the collection.
    """

    def __init__(
        self,
        length: int,
        size: int = 64,
        zoom: tuple[float, float] = (1.6, 2.4),
        count: tuple[int, int] = (1, 2),
        detail: tuple[int | float, ...] = (1,),
        padded: float = 0.0,
        seed: int = 0,
    ):
        self.length, self.size, self.zoom, self.count, self.seed = length, size, zoom, count, seed
        self.detail, self.padded = detail, padded
        self._drawn: dict[int, tuple[torch.Tensor, SceneText]] = {}

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict:
        """The image as (3, H, W) uint8, mirrored at random (no text tells left from right), and its text."""
        if index not in self._drawn:
            self._drawn[index] = self._draw(index)
        image, text = self._drawn[index]
        if torch.rand(()) < 0.5:
            image = image.flip(-1)
        if self.padded > 0 and torch.rand(()) < self.padded:
            rows, columns = torch.randint(self.size - 7, self.size + 1, (2,))
            image = image.clone()
            image[:, rows:] = 0
            image[:, :, columns:] = 0
        return {"images": image, "texts": text}

    def _draw(self, index: int) -> tuple[torch.Tensor, SceneText]:
        rng = np.random.default_rng([self.seed, index])
        zoom = float(rng.uniform(*self.zoom))
        factor = float(rng.choice(self.detail)) if len(self.detail) > 1 else self.detail[0]
        scene = render(self.seed, index, round(factor * self.size), "train", self.count, zoom)
        text = SceneText(caption(scene, rng), things(scene))
        image = resize_image(scene.image, (self.size, self.size)) if factor != 1 else scene.image
        return torch.from_numpy(image).permute(2, 0, 1).contiguous(), text
