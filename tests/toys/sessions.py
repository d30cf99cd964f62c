"""Four images of each of four colours, in two sessions."""

from pathlib import Path

import numpy as np
from PIL import Image

SESSIONS = (("red", "blue"), ("green", "white"))
COLOURS = {"red": (220, 30, 30), "blue": (30, 30, 220), "green": (30, 200, 30), "white": (240, 240, 240)}
NAMES = [name for name in COLOURS for _ in range(4)]


def colour_images(folder: Path) -> list[Path]:
    """The files of the images, in the order of the names, with noise by a seed."""
    rng, found = np.random.default_rng(0), []
    for number, name in enumerate(NAMES):
        pixels = np.clip(rng.normal(COLOURS[name], 25, (24, 24, 3)), 0, 255).astype(np.uint8)
        found.append(folder / f"{number}.png")
        Image.fromarray(pixels).save(found[-1])
    return found
