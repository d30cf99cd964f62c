"""Scenes of the training split as training data: images alone, with image-level text, or with regions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from mmengine.registry import DATASETS
from torch import Tensor
from torch.utils.data import Dataset

from densevl.core.images import resize_image
from densevl.datasets.region_sample import region_sample
from densevl.datasets.scenes.language import caption, region_text, things
from densevl.datasets.scenes.scene import Scene, render

__all__ = ["ScenePairs", "ScenePictures", "SceneRegionTexts", "SceneText"]


class _KeptScenes(Dataset):
    """Scenes of the training split; each is drawn on first use and then kept in memory."""

    def __init__(self, length: int) -> None:
        self.length = length
        self._kept: dict[int, dict[str, Any]] = {}

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Any]:
        if index not in self._kept:
            self._kept[index] = self._draw(index)
        return self._kept[index]

    def _draw(self, index: int) -> dict[str, Any]:
        raise NotImplementedError


@DATASETS.register_module()
class ScenePictures(_KeptScenes):
    """Scenes as images alone, for training without labels: ``images`` (3, H, W) uint8.

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
        super().__init__(length)
        self.size, self.drawn, self.zoom, self.count, self.seed = size, drawn, zoom, count, seed

    def _draw(self, index: int) -> dict[str, Any]:
        image = render(self.seed, index, self.drawn or self.size, "train", self.count, self.zoom).image
        return {"images": _channels_first(resize_image(image, (self.size, self.size)))}


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
class ScenePairs(_KeptScenes):
    """Scenes with image-level text.

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
    ) -> None:
        super().__init__(length)
        self.size, self.zoom, self.count, self.seed = size, zoom, count, seed
        self.detail, self.padded = detail, padded

    def __getitem__(self, index: int) -> dict[str, Any]:
        """The image as (3, H, W) uint8, mirrored at random (no text tells left from right), and its text."""
        sample = super().__getitem__(index)
        image = sample["images"]
        if torch.rand(()) < 0.5:
            image = image.flip(-1)
        if self.padded > 0 and torch.rand(()) < self.padded:
            rows, columns = torch.randint(self.size - 7, self.size + 1, (2,))
            image = image.clone()
            image[:, rows:] = 0
            image[:, :, columns:] = 0
        return {**sample, "images": image}

    def _draw(self, index: int) -> dict[str, Any]:
        rng = np.random.default_rng([self.seed, index])
        zoom = float(rng.uniform(*self.zoom))
        factor = float(rng.choice(self.detail)) if len(self.detail) > 1 else self.detail[0]
        scene = render(self.seed, index, round(factor * self.size), "train", self.count, zoom)
        text = SceneText(caption(scene, rng), things(scene))
        image = resize_image(scene.image, (self.size, self.size)) if factor != 1 else scene.image
        return {"images": _channels_first(image), "texts": text}


@DATASETS.register_module()
class SceneRegionTexts(_KeptScenes):
    """Scenes with the boxes of their objects as fractions of the image, what is said of each, and a caption.

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
        super().__init__(length)
        self.size, self.zoom, self.count, self.seed, self.masks = size, zoom, count, seed, masks
        self.side, self.aspects = side, tuple(aspects)

    def scene(self, index: int) -> Scene:
        """The scene of a number."""
        aspect = self.aspects[index % len(self.aspects)]
        size = (round(self.size / min(aspect, 1)), round(self.size * max(aspect, 1)))
        return render(self.seed, index, size, "train", self.count, self.zoom)

    def _draw(self, index: int) -> dict[str, Any]:
        scene = self.scene(index)
        side = self.side or max(scene.labels.shape)
        boxes = torch.tensor([item.box for item in scene.objects], dtype=torch.float32).reshape(-1, 4)
        texts = tuple(region_text(item) for item in scene.objects)
        sentence = caption(scene, np.random.default_rng([self.seed, index]))
        masks = np.array([item.mask for item in scene.objects], bool).reshape(-1, *scene.labels.shape)
        given = torch.from_numpy(masks) if self.masks else None
        return region_sample(scene.image, boxes, texts, sentence, side, given)


def _channels_first(image: UInt8[np.ndarray, "H W 3"]) -> UInt8[Tensor, "3 H W"]:
    return torch.from_numpy(image).permute(2, 0, 1).contiguous()
