"""What it costs to embed n regions of one image: a prompter, mask pooling and marked images on the same CLIP.

A prompter and mask pooling read one pass of the ViT, whatever n is; marked images take a pass for each region and each
visual prompt. All images are scaled to the side that the ViT takes, and all regions have masks.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from densevl.core.errors import UsageError
from densevl.core.geometry import Size
from densevl.core.regions import Regions
from densevl.core.registry import build
from densevl.encoders import ENCODERS
from densevl.regions.embedders.marked_images import MarkedImages
from densevl.regions.embedders.mask_pooling import MaskPooling
from densevl.regions.embedders.prompted import PromptedRegions

__all__ = ["Timing", "benchmark"]


@dataclass(frozen=True)
class Timing:
    """Median seconds of processor time to embed some regions of an image, the image included.

    Attributes:
        name: of the way.
        seconds: by the number of regions.
    """

    name: str
    seconds: dict[int, float]

    def __str__(self) -> str:
        return f"{self.name:24}" + "".join(f"{value * 1e3:12.1f} ms" for value in self.seconds.values())


def benchmark(
    arch: str = "ViT-B-16",
    counts: Sequence[int] = (1, 10, 100),
    image_size: Size = (480, 640),
    repetitions: int = 3,
) -> list[Timing]:
    """Measure each way with random weights on an image of noise and boxes drawn from a seed.

    Args:
        arch: of the CLIP, by its name in open_clip.
        counts: numbers of regions.
        image_size: (height, width) of the image.
        repetitions: of each; one more with a single region comes first and is not measured.

    Returns:
        One timing a way.

    Raises:
        UsageError: where a number is below 1 or the architecture is unknown.
    """
    if min(*counts, repetitions, 1) < 1:
        raise UsageError(f"counts and repetitions must be at least 1; got {list(counts)} and {repetitions}")
    encoder = build(ENCODERS, {"type": "random-clip", "arch": arch})
    side = max(encoder.image_size)
    ways = {
        "prompter": PromptedRegions(encoder, "random:0"),
        "mask pooling": MaskPooling(encoder, short_side=side),
        "marks: crop": MarkedImages(encoder, ["crop"], size=side),
        "marks: crop, blur_mask": MarkedImages(encoder, ["crop", "blur_mask"], size=side),
    }
    image, regions = _drawn_from_seed(max(counts), image_size)
    return [
        Timing(name, {count: _seconds(way, image, regions[:count], repetitions) for count in counts})
        for name, way in ways.items()
    ]


def _seconds(embedder: Any, image: np.ndarray, regions: Regions, repetitions: int) -> float:
    embedder.embed(image, regions[:1])
    measured = []
    for _ in range(repetitions):
        start = time.process_time()
        embedder.embed(image, regions)
        measured.append(time.process_time() - start)
    return statistics.median(measured)


def _drawn_from_seed(count: int, size: Size) -> tuple[UInt8[np.ndarray, "H W 3"], Regions]:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*size, 3), np.uint8)
    low = rng.uniform(0, 0.7, (count, 2))
    corners = np.concatenate([low, low + rng.uniform(0.1, 0.3, (count, 2))], axis=1)
    regions = Regions.from_boxes(corners * np.array([size[1], size[0]] * 2), size)
    masks = torch.zeros(count, *size, dtype=torch.bool)
    for mask, (x0, y0, x1, y1) in zip(masks, regions.boxes.round().long().tolist(), strict=True):
        mask[y0:y1, x0:x1] = True
    return image, regions.with_masks(masks)
