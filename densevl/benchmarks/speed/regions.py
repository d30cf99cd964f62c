"""Time to embed n regions of one image: a prompter, mask pooling and marked images on the same CLIP.

A prompter and mask pooling read one pass of the ViT, whatever n is; marked images take a pass for each region and each
visual prompt. All images are scaled to the side that the ViT takes, and all regions have masks.
"""

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from densevl.benchmarks.speed.cost import measure
from densevl.core.errors import UsageError
from densevl.core.geometry import Size
from densevl.core.regions import Regions
from densevl.core.registry import build
from densevl.encoders import ENCODERS
from densevl.metrics.table import Table
from densevl.regions.embedders.marked_images import MarkedImages
from densevl.regions.embedders.mask_pooling import MaskPooling
from densevl.regions.embedders.prompted import PromptedRegions

__all__ = ["benchmark_regions"]


def benchmark_regions(
    arch: str = "ViT-B-16",
    counts: Sequence[int] = (1, 10, 100),
    size: Size = (480, 640),
    repetitions: int = 3,
) -> Table:
    """Measure each embedder with random weights on an image of noise and boxes drawn from a seed.

    Args:
        arch: architecture of the CLIP, by its name in open_clip, or ``"mini-clip"``.
        counts: numbers of regions.
        size: (height, width) of the image.
        repetitions: of each measurement; one more with a single region comes first and is not counted.

    Returns:
        A row for each embedder: milliseconds of processor time for each number of regions, the image included.

    Raises:
        UsageError: where a number is below 1 or the architecture is unknown.
    """
    if min(*counts, repetitions, 1) < 1:
        raise UsageError(f"counts and repetitions must be at least 1; got {list(counts)} and {repetitions}")
    encoder = build(ENCODERS, {"type": "random-clip", "arch": arch})
    side = max(encoder.image_size)
    embedders: dict[str, Any] = {
        "prompter": PromptedRegions(encoder, "random:0"),
        "mask pooling": MaskPooling(encoder, short_side=side),
        "visual prompts: crop": MarkedImages(encoder, ["crop"], size=side),
        "visual prompts: crop, blur_mask": MarkedImages(encoder, ["crop", "blur_mask"], size=side),
    }
    image, regions = _drawn_from_seed(max(counts), size)
    for embedder in embedders.values():
        embedder.embed(image, regions[:1])
    columns = []
    for count in counts:
        work = {name: partial(one.embed, image, regions[:count]) for name, one in embedders.items()}
        columns.append(measure(work, repetitions, clock=time.process_time, warm_up=0))
    rows = [(name, [1e3 * costs[name].median for costs in columns]) for name in embedders]
    height, width = size
    note = f"milliseconds of processor time, medians of {repetitions} runs, {arch}, a {width}×{height} image"
    return Table(("regions", *map(str, counts)), rows, note)


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
