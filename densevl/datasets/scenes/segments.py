"""Training images of the mini SAM: rendered scenes, their exact segments, and SAM prompts drawn from these.

A segment is an object or a ground, as far as it is visible. Boxes are the tight boxes of segments, some shaken, as SAM
is trained; points are drawn evenly from the segment. Where we differ from SAM: the points after the first are drawn at
once and not from where the prediction errs, and no mask is given as input.
"""

from typing import NamedTuple

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from mmengine.registry import DATASETS
from segment_anything.utils.transforms import ResizeLongestSide
from torch import Tensor
from torch.utils.data import Dataset

from densevl.datasets.scenes.grounds import GROUNDS
from densevl.datasets.scenes.scene import Scene, render

__all__ = ["Clicks", "SceneMasks", "draw_boxes", "draw_clicks", "segments"]

LEAST_AREA = 16
"""Segments of fewer pixels are no targets."""


def segments(scene: Scene) -> UInt8[np.ndarray, "h w"]:
    """A map that gives every object and every ground a number of its own: the grounds first, then the objects."""
    return np.where(scene.instances > 0, scene.instances + np.uint8(len(GROUNDS) - 1), scene.labels)


@DATASETS.register_module()
class SceneMasks(Dataset):
    """Scenes of the training split and their segments; each is drawn on first use and then kept in memory.

    Args:
        length: number of scenes.
        side: longer side of the images in pixels.
        rendered: shorter sides at which scenes are drawn, one of which is taken for each; it is then scaled to
            ``side``, by segment_anything's own resizing.
        stretch: greatest ratio of the sides.
        zoom: range of the views.
        count: least and greatest number of objects.
        seed: number of the collection.
    """

    def __init__(
        self,
        length: int,
        side: int = 160,
        rendered: tuple[int, ...] = (112, 128, 160, 240),
        stretch: float = 1.4,
        zoom: tuple[float, float] = (0.8, 1.6),
        count: tuple[int, int] = (1, 5),
        seed: int = 0,
    ):
        self.length, self.side, self.rendered, self.stretch = length, side, rendered, stretch
        self.zoom, self.count, self.seed = zoom, count, seed
        self._drawn: dict[int, tuple[Tensor, Tensor]] = {}

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """The image (3, h, w) and its segments (h, w), both uint8, mirrored and turned at random."""
        if index not in self._drawn:
            self._drawn[index] = self._draw(index)
        image, numbers = self._drawn[index]
        across, down, turned = (torch.rand(3) < 0.5).tolist()
        flipped = [axis for axis, chosen in ((-1, across), (-2, down)) if chosen]
        image, numbers = image.flip(flipped), numbers.flip(flipped)
        return {"images": image.mT, "segments": numbers.mT} if turned else {"images": image, "segments": numbers}

    def _draw(self, index: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng([self.seed, index])
        short = int(rng.choice(self.rendered))
        long = round(short * rng.uniform(1, self.stretch)) if rng.random() < 0.5 else short
        scene = render(self.seed, index, (short, long), "train", self.count, float(rng.uniform(*self.zoom)))
        image = ResizeLongestSide(self.side).apply_image(scene.image)
        size = image.shape[1], image.shape[0]
        numbers = cv2.resize(segments(scene), size, interpolation=cv2.INTER_NEAREST_EXACT)
        return torch.from_numpy(image).permute(2, 0, 1).contiguous(), torch.from_numpy(numbers)


class Clicks(NamedTuple):
    """Points as SAM takes them, ``k`` for each of ``n`` segments; label 1 is inside, 0 outside."""

    points: Float[Tensor, "n k 2"]
    labels: Int[Tensor, "n k"]
    masks: Bool[Tensor, "n h w"]


def draw_boxes(
    numbers: UInt8[Tensor, "h w"], count: int, shake: float = 0.05, most: float = 4.0
) -> tuple[Float[Tensor, "n 4"], Bool[Tensor, "n h w"]]:
    """Boxes round randomly chosen segments.

    Args:
        numbers: map of segments.
        count: number of boxes, some perhaps round the same segment.
        shake: standard deviation of an edge, as a fraction of the box's side; two boxes of three are shaken.
        most: greatest shift of an edge in pixels.

    Returns:
        Boxes (half-open xyxy pixels, inside the image) and the masks of their segments.
    """
    masks = _chosen(numbers, count)
    rows, columns = masks.any(2).float(), masks.any(1).float()
    height, width = numbers.shape
    first = torch.stack([columns.argmax(1), rows.argmax(1)], 1)
    last = torch.tensor([width, height]) - torch.stack([columns.flip(1).argmax(1), rows.flip(1).argmax(1)], 1)
    tight = torch.cat([first, last], 1).float()
    sides = (last - first).float().repeat(1, 2)
    noise = (torch.randn(count, 4) * shake * sides).clamp(-most, most) * (torch.rand(count, 1) < 2 / 3)
    return (tight + noise).clamp(min=0).minimum(torch.tensor([width, height, width, height])), masks


def draw_clicks(numbers: UInt8[Tensor, "h w"], count: int, points: int) -> Clicks:
    """Points for randomly chosen segments: the first inside, each further one inside or outside."""
    masks = _chosen(numbers, count)
    inside = torch.rand(count, points) < 0.5
    inside[:, 0] = True
    flat = masks.flatten(1)
    outside = torch.where(flat.all(1, keepdim=True), flat, ~flat)
    weights = torch.where(inside[..., None], flat[:, None], outside[:, None]).float()
    places = torch.multinomial(weights.flatten(0, 1), 1).view(count, points)
    labels = flat.gather(1, places).long()
    rows, columns = places // numbers.shape[1], places % numbers.shape[1]
    return Clicks(torch.stack([columns, rows], -1).float(), labels, masks)


def _chosen(numbers: Tensor, count: int) -> Tensor:
    """Masks of ``count`` segments, drawn with replacement; objects twice as often as grounds."""
    present, areas = numbers.unique(return_counts=True)
    weights = torch.where(present < len(GROUNDS), 1.0, 2.0) * (areas >= LEAST_AREA)
    return numbers == present[torch.multinomial(weights, count, replacement=True)][:, None, None]
