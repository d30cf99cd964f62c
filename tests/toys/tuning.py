"""Two kinds of small images that a tiny CLIP can be tuned to tell apart."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

NAMES = ("red", "blue")


def two_colours(folder: Path, count: int = 6) -> list[Path]:
    """Noisy images of 24 pixels, red ones and blue ones in turn."""
    rng, found = np.random.default_rng(4), []
    for number in range(count):
        pixels = rng.integers(0, 120, (24, 24, 3))
        pixels[..., 0 if number % 2 == 0 else 2] += 120
        found.append(folder / f"{NAMES[number % 2]}{number}.png")
        Image.fromarray(pixels.astype(np.uint8)).save(found[-1])
    return found


def shown_colours(folder: Path, count: int = 6) -> tuple[list[Any], list[int]]:
    """These images as tuning takes them, each whole, and their labels."""
    from densevl.core.regions import Regions
    from densevl.training.tuning.looks import Shown

    images = two_colours(folder, count)
    return [Shown(path, Regions.whole((24, 24)), [n]) for n, path in enumerate(images)], [n % 2 for n in range(count)]
